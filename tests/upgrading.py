"""A changed version of the jobs, its real command line, and documents that come all the while."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Producer

from headrace import jobs
from headrace.contract import topics
from headrace.contract.settings import ROOT, Settings, load
from headrace.flink import FlinkRest
from headrace.jobs import JOBS, PINNED, Ensured, Job, Pinned, Program
from headrace.kafka import producer_config

# Another state operator in each job: the state of one version means nothing to the other.
CHANGES = (
    ("clean/clean.sql", "COUNT(*) OVER (", "SUM(1) OVER ("),
    (
        "tokenize/tokenize.sql",
        "ARRAY_AGG(document) AS documents\n",
        "ARRAY_AGG(document) AS documents, COUNT(*) AS n\n",
    ),
    ("tokenize/tokenize.sql", "FROM gathered AS g,", "FROM (SELECT * FROM gathered WHERE n > 0) AS g,"),
)


@pytest.fixture
def ensured(settings: Settings, flink: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings under which jobs go to the session's cluster; what runs in the end is cancelled."""
    for name, value in flink.items():
        monkeypatch.setenv(name, value)
    quick = ["flink.checkpoint_interval_ms=500", "flink.parallelism=1", "tokenize.window_s=1"]
    own = load(environment=settings.environment(), assignments=quick).settings
    yield own
    rest = FlinkRest(own.flink.rest)
    for job in JOBS:
        if running := jobs.active(own, job, rest.jobs()):
            rest.cancel(running.id)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A checkout of the next version."""
    there = tmp_path / "next"
    for part in ("headrace", "flink_jobs"):
        shutil.copytree(ROOT / part, there / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, after in CHANGES:
        file = there / "flink_jobs" / name
        assert file.read_text().count(before) == 1
        file.write_text(file.read_text().replace(before, after))
    return there


def start(settings: Settings, job: Job) -> Ensured:
    """One job, as `jobs ensure` starts it."""
    with Program(settings) as program:
        return jobs.start(program, job)


def headrace(checkout: Path, settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line of a version."""
    return subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", *arguments],
        cwd=checkout,
        env={
            **os.environ,
            **settings.environment(),
            "HEADRACE_CONFIG": os.devnull,
            "PYTHONPATH": str(checkout),
            "COLUMNS": "400",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


class Load:
    """Documents, a hundred a second, until the block ends, dealt to the first so many `partitions` in turn."""

    def __init__(self, settings: Settings) -> None:
        self.partitions = 4
        self.topic = settings.topic(topics.RAW)
        own = {"topic.metadata.refresh.interval.ms": 1000}  # else an added partition is not known for minutes
        self.producer = Producer(producer_config(settings.kafka.brokers, **own))
        self.stopping = Event()
        self.sent = 0
        self.thread = Thread(target=self.run)

    def run(self) -> None:
        while not self.stopping.wait(0.01):
            text = f"document number {self.sent} of those that come while the jobs are changed"
            self.producer.produce(self.topic, text.encode(), partition=self.sent % self.partitions)
            self.producer.poll(0)
            self.sent += 1

    def __enter__(self) -> Load:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()
        assert self.producer.flush(30) == 0


def wait_for(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def plan_of(folder: Path) -> str:
    pinned = Pinned.read(folder / PINNED)
    assert pinned is not None
    return pinned.plan
