"""A whole stack from which what is verified is deleted: every part goes on, also after crashes and a restart.

And the disk: what is deleted comes back, once its segments are closed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from headrace.audit.report import Report
from headrace.audit.verify import verify_deployment
from headrace.client import Publisher
from headrace.contract.settings import ROOT, Settings
from headrace.contract.topics import RAW
from headrace.kafka import Cluster, producer_config
from headrace.local.stack import Stack
from tests.small_stack import make_settings, publish

pytestmark = pytest.mark.timeout(2400)

ALL = ("--keep-hours", "0", "--newest", "1", "--yes", "--json")  # rejects stay, to be replayed


def command(settings: Settings, *words: str) -> dict[str, Any]:
    """What a command prints as JSON; it must end with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", *words],
        cwd=ROOT,
        env={**os.environ, **settings.environment(), "HEADRACE_CONFIG": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def drained(settings: Settings) -> Report:
    """Wait until nothing is on its way; all must hold."""
    report = verify_deployment(settings, "main", 400, lambda records: lambda more: None)
    report.settled = True
    assert report.holds, report.as_json()
    return report


def retain(settings: Settings) -> int:
    """Delete what may go; returns how many offsets went. What verify counts does not change by it."""
    before = drained(settings).rows()
    done = command(settings, "retention", *ALL)
    assert drained(settings).rows() == before
    return sum(row["records"] for row in done["partitions"]) if done["deleted"] else 0


def test_every_part_goes_on_after_retention(jars_there: None, tmp_path: Path) -> None:
    settings = make_settings(tmp_path / "data", "trainer.checkpoint_steps=4", "trainer.keep_checkpoints=1")
    with Stack(settings) as stack:
        stack.wait_running(600)
        publish(stack.settings, 200)
        with Publisher(stack.settings) as publisher:
            for number in range(20):
                publisher.publish(f"no {number}")  # too short
        report = drained(stack.settings)
        assert report.rows()[0]["entered"] == 220
        assert retain(stack.settings) > 50
        publish(stack.settings, 100)
        assert drained(stack.settings).rows()[0]["entered"] == 320

        for part in ("planner", "taskmanager", "trainer"):
            stack.kill(part)
        publish(stack.settings, 100)
        assert drained(stack.settings).rows()[0]["entered"] == 420
        assert retain(stack.settings) > 50

        done = command(stack.settings, "rejected", "replay", "--reason", "gopher_short_doc", "--yes", "--json")
        assert (done["replayed"], done["already"]) == (20, 0)
        rows = drained(stack.settings).rows()
        assert rows[0]["entered"] == 440, "a replay is a document of its own"
        done = command(stack.settings, "rejected", "replay", "--reason", "gopher_short_doc", "--yes", "--json")
        assert (done["replayed"], done["already"]) == (0, 40), "and those that were rejected again are known"

    with Stack(settings) as stack:  # from savepoints, and a checkpoint of the trainer
        stack.wait_running(600)
        publish(stack.settings, 100)
        assert drained(stack.settings).rows()[0]["entered"] == 540
        assert retain(stack.settings) > 50
        for part in ("broker", "jobmanager"):
            stack.kill(part)
        publish_when_back(stack.settings, 50)
        assert drained(stack.settings).rows()[0]["entered"] == 590


def publish_when_back(settings: Settings, count: int) -> None:
    Cluster(settings).wait(120)
    publish(settings, count)


def test_the_disk_is_freed_once_a_segment_is_closed(settings: Settings, broker: Settings) -> None:
    """Segments of a second instead of hours, and no delay before a file goes: then within two checks of the broker."""
    cluster = Cluster(settings)
    topic = settings.topic(RAW)
    quick = {"segment.ms": "1000", "file.delete.delay.ms": "1000"}
    entries = [ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in quick.items()]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    for future in cluster.admin.incremental_alter_configs([resource]).values():
        future.result(30)
    producer = Producer(producer_config(cluster.brokers, **{"compression.type": "none"}))
    for number in range(20):
        producer.produce(topic, os.urandom(1 << 20), partition=0)
        assert producer.flush(30) == 0
        if number % 5 == 4:
            time.sleep(1.1)  # the next record begins a segment
    folder = broker.data_dir / "kafka" / f"{topic}-0"
    before = size(folder)
    assert before > 20 << 20
    cluster.delete_records([TopicPartition(topic, 0, 20)])
    deadline = time.monotonic() + 400
    while size(folder) > before / 2:
        assert time.monotonic() < deadline, f"{size(folder):,} of {before:,} bytes are still there"
        time.sleep(1)


def size(folder: Path) -> int:
    """Bytes of the log's segments, those that wait for their deletion too."""
    found = 0
    for path in folder.glob("*.log*"):
        try:
            found += path.stat().st_size
        except FileNotFoundError:
            continue
    return found
