"""A stranger writes to every topic of a running stack and takes it back: no part of it sees a record of that."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace.audit.report import Report
from headrace.audit.verify import verify_deployment
from headrace.client import Publisher
from headrace.contract.settings import Ports, Settings, load
from headrace.contract.topics import RAW, TOPICS
from headrace.kafka import Cluster
from headrace.local.stack import Stack
from tests.integration.raw_client import abort

TURNS, EACH = 4, 150


def verified(settings: Settings) -> Report:
    return verify_deployment(settings, settings.trainer.run, 0, lambda records: lambda more: None)


@pytest.mark.timeout(1200)
def test_records_of_aborted_transactions_are_no_records(jars_there: None, tmp_path: Path) -> None:
    chosen = [*(f"local.ports.{name}=0" for name in Ports.model_fields), f"local.data_dir={tmp_path / 'data'}"]
    small = ["trainer.model=tiny", "tokenize.block_tokens=64", "tokenize.window_s=1", "trainer.checkpoint_steps=5"]
    settings = load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=[*chosen, *small]).settings
    with Stack(settings) as stack:
        stack.wait_running(300)
        cluster = Cluster(stack.settings)
        names = [stack.settings.topic(topic.name) for topic in TOPICS]
        for turn in range(TURNS):
            abort(cluster.brokers, names, lambda number: b"Never committed, number %d" % number)
            with Publisher(stack.settings) as publisher:
                for number in range(EACH):
                    publisher.publish(f"This is document {number} of turn {turn} in a small stream of text.")
        stack.wait_until(lambda: verified(stack.settings).drained, 400, "all is trained")
        report = verified(stack.settings)
        restarts = {part.name: part.restarts for part in stack.state().parts}
        ends = cluster.end_offsets(RAW, committed=False)
    assert report.holds, report.as_json()
    clean, _, _, train = report.stages
    assert clean.entered == TURNS * EACH == train.left
    assert sum(ends.values()) >= TURNS * (EACH + 3), "the aborted ones did stand in the log"
    assert set(restarts.values()) == {0}
