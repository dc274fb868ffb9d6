"""A whole stack with a tiny model: made, fed, counted."""

from __future__ import annotations

import os
from pathlib import Path

from headrace.audit.verify import verify_deployment
from headrace.client import Publisher
from headrace.contract.settings import Ports, Settings, load
from headrace.contract.topics import RAW
from headrace.kafka import Cluster

ZEROS = [f"local.ports.{name}=0" for name in Ports.model_fields]
TINY = [
    "trainer.model=tiny",
    "trainer.leaf_blocks=3",
    "tokenize.block_tokens=64",
    "tokenize.window_s=1",
    "flink.checkpoint_interval_ms=1000",
]


def make_settings(data_dir: Path, *assignments: str) -> Settings:
    """Free ports, short windows."""
    values = [*ZEROS, *TINY, f"local.data_dir={data_dir}", *assignments]
    return load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=values).settings


def published(settings: Settings) -> int:
    """Documents in `text.raw`, which is written without transactions."""
    return sum(Cluster(settings).end_offsets(RAW).values())


def publish(settings: Settings, count: int) -> None:
    """Documents with numbers of their own, so that none is a duplicate of another."""
    first = published(settings)
    with Publisher(settings) as publisher:
        for number in range(first, first + count):
            publisher.publish(f"This is the document with number {number} of a small stream of text.")


def assert_each_trained_once(settings: Settings, timeout_s: float = 300) -> None:
    """Every published document was accepted and trained exactly once; waits until nothing is in flight."""
    report = verify_deployment(settings, "main", timeout_s, lambda records: lambda more: None)
    report.settled = True
    assert report.holds, report.as_json()
    accepted = next(stage.left for stage in report.stages if stage.name == "tokenize")
    assert accepted == published(settings)
