"""The exporter on a real broker: what it shows is what the topics hold, and it is so again after SIGKILL."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from conftest import with_values
from prometheus_client.parser import text_string_to_metric_families

from headrace.contract import metrics
from headrace.contract.documents import CleanDocument, RejectedHeaders
from headrace.contract.settings import ROOT, Settings
from headrace.contract.topics import CLEAN, CLEAN_GROUP, RAW, REJECTED
from headrace.kafka import Cluster, transactional_producer
from headrace.local import process
from headrace.local.ports import HOST, free_row
from services.exporter.service import Reader

LABELS = {metric.name: metric.labels for metric in metrics.ALL}
Shown = dict[tuple[str, ...], float]


def scrape(port: int) -> Shown:
    with urllib.request.urlopen(f"http://{HOST}:{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        samples = [one for family in families for one in family.samples if one.name in LABELS]
    return {(one.name, *(one.labels[label] for label in LABELS[one.name])): one.value for one in samples}


def until(ask: Callable[[], Shown], holds: Callable[[Shown], bool]) -> Shown:
    deadline = time.monotonic() + 60
    while True:
        try:
            shown = ask()
        except OSError:
            shown = {}
        if holds(shown):
            return shown
        assert time.monotonic() < deadline, shown
        time.sleep(0.3)


@contextmanager
def exporter(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "HEADRACE_CONFIG": os.devnull, **settings.environment()}
    started = subprocess.Popen([sys.executable, "-m", "services.exporter"], cwd=ROOT, env=environment)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def write(settings: Settings, first: int, count: int, commit: bool = True) -> None:
    """So many documents accepted, and as many duplicates, in one transaction."""
    producer = transactional_producer(settings, "clean")
    producer.begin_transaction()
    for number in range(first, first + count):
        said = CleanDocument(
            raw=(0, number), id=None, source="chat", time=0, language="en", text="some text", label=None
        )
        producer.produce(settings.topic(CLEAN), said.encode(), partition=number % 4)
        headers = RejectedHeaders("duplicate", "clean", "", (1, number)).encode()
        producer.produce(settings.topic(REJECTED), None, headers=dict(headers), partition=number % 2)
    producer.flush(20)
    producer.commit_transaction(20) if commit else producer.abort_transaction(20)


def documents(shown: Shown) -> tuple[float, float]:
    of = "headrace_documents_total", "clean"
    return shown.get((*of, "accepted", ""), 0), shown.get((*of, "rejected", "duplicate"), 0)


@pytest.mark.timeout(180)
def test_counts_are_those_of_the_topics_after_every_restart(settings: Settings) -> None:
    port = free_row(1)
    own = with_values(settings, f"local.ports.exporter_metrics={port}")
    write(own, 0, 10)
    write(own, 10, 5, commit=False)
    with exporter(own) as first:
        shown = until(lambda: scrape(port), lambda shown: documents(shown) == (10, 10) and lag_of(shown, own) == 0)
        assert shown["headrace_source_documents_total", "chat"] == 10
        assert shown["headrace_document_characters_total",] == 90
        assert shown["kafka_brokers",] == 1
        assert shown["kafka_topic_partitions", own.topic(RAW)] == 4
        assert urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=5).read() == b"ok\n"
        first.kill()
    write(own, 20, 7)
    with exporter(own):
        until(lambda: scrape(port), lambda shown: documents(shown) == (17, 17))


def lag_of(shown: Shown, settings: Settings) -> float | None:
    """The exporter's own lag in text.clean, of which an end marker takes one offset of each partition."""
    group, topic = settings.topic("exporter"), settings.topic(CLEAN)
    lags = [value for key, value in shown.items() if key[:3] == ("kafka_consumergroup_lag", group, topic)]
    return sum(lag > 10 for lag in lags) if len(lags) == 4 else None


@pytest.mark.timeout(120)
def test_lag_has_kafka_exporters_names(settings: Settings) -> None:
    port = free_row(1)
    own = with_values(settings, f"local.ports.exporter_metrics={port}")
    cluster = Cluster(own)
    assert cluster.committed(CLEAN_GROUP, RAW) == {}
    with exporter(own):
        shown = until(lambda: scrape(port), lambda shown: ("kafka_brokers",) in shown)
    ours = {key for key in shown if key[0].startswith("kafka_") and len(key) > 1}
    assert all(any(own.kafka.topic_prefix in word for word in key) for key in ours), "of this deployment alone"
    assert ("kafka_topic_partition_in_sync_replica", own.topic(RAW), "0") in shown


@pytest.mark.timeout(180)
def test_a_broker_that_stands_still_holds_up_no_loop(settings: Settings, stack_settings: Settings) -> None:
    write(settings, 0, 10)
    reader = Reader(Cluster(settings))
    accepted = metrics.DOCUMENTS.name, "clean", "accepted", ""
    while sum(tally.counts[accepted] for tally in reader.tallies.of.values()) < 10:
        reader.read(1000, 0.5, time.time())
    standing = process.marked(stack_settings.data_dir, "broker")
    for each in standing:
        each.suspend()
    try:
        reader.commit()
    finally:
        for each in standing:
            each.resume()
    reader.keep(60)
    assert {place: tally.position for place, tally in reader.tallies.of.items()} == reader.committed
    reader.consumer.close()
    again = Reader(Cluster(settings))
    assert again.tallies.of == reader.tallies.of
    again.consumer.close()
