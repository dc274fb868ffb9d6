"""A flood of the longest documents that are accepted, and one of longer headers, through both jobs at their defaults.

The heap stands it. Bundles and windows hold such documents whole, several times over. Seen: in regions of a megabyte
each copy took two of them, and the TaskManager ran out of memory.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.contract.blocks import Seal
from headrace.contract.settings import Ports, Settings, load
from headrace.contract.topics import RAW, REJECTED, WINDOWS
from headrace.kafka import Cluster, coordinate, transactional_producer
from headrace.local import parts
from headrace.local.stack import Stack

BOTH_JOBS = (parts.BROKER, parts.JOBMANAGER, parts.TASKMANAGER, parts.WORKERS, parts.JOBS)
DOCUMENTS = 300
ZEROS = [f"local.ports.{name}=0" for name in Ports.model_fields]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("long", ["value", "header"])
def test_a_flood_of_long_documents_ends_no_taskmanager(jars_there: None, tmp_path: Path, long: str) -> None:
    values = ["clean.profile=none", f"local.data_dir={tmp_path}"]
    settings = load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=[*ZEROS, *values]).settings
    with Stack(settings, BOTH_JOBS) as stack:
        stack.wait_running(300)
        publish(stack.settings, long)
        stack.wait_until(lambda: sealed(stack.settings) >= DOCUMENTS, 900, f"{DOCUMENTS} documents are sealed")
        assert {part.name: part.restarts for part in stack.state().parts if part.restarts} == {}
        assert sum(Cluster(stack.settings).end_offsets(REJECTED).values()) == 0
        assert sealed(stack.settings) == DOCUMENTS


def publish(settings: Settings, long: str) -> None:
    """All of them at once; a long header is three times what would have been the value."""
    producer = transactional_producer(settings, "flood")
    producer.begin_transaction()
    for number, document in enumerate(longest(settings.clean.max_document_bytes)):
        value, more = (document, {}) if long == "value" else (document[:100], {"x": document * 3})
        headers = {"content-type": b"text/plain", **more}
        producer.produce(settings.topic(RAW), value, headers=headers, partition=number % 4)
        producer.flush(60)
    producer.commit_transaction(60)


def longest(size: int) -> Iterator[bytes]:
    """Of random letters, so that nearly each word is several tokens; no two alike."""
    dice = random.Random(3)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(20_000)]
    for number in range(DOCUMENTS):
        yield f"{number} {' '.join(dice.choices(words, k=size // 7))}".encode()[:size]


def sealed(settings: Settings) -> int:
    """Documents in sealed windows."""
    cluster = Cluster(settings)
    seals = cluster.read_all(WINDOWS, {}, cluster.end_offsets(WINDOWS))
    return sum(Seal.decode(message.value(), coordinate(message)).documents for message in seals)
