"""A real broker and a real Flink cluster for the whole session; each test has topics of its own on them.

For tests/integration and tests/soak. They start with the first test that asks, so unit tests never start them.

def test_something(settings: Settings) -> None                   # the broker, with this test's own topics
def test_job(settings: Settings, flink: dict[str, str]) -> None  # and a cluster that takes jobs: its environment
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import pytest

from headrace.contract.settings import Ports, Settings, load
from headrace.kafka import Cluster
from headrace.local import jars, ports, process
from headrace.local.broker import broker as broker_part
from headrace.local.flink import flink as flink_parts
from headrace.local.java import SHORT_LIVED
from headrace.local.parts import TASKMANAGER, ready
from headrace.topics import create_topics

os.environ.update(SHORT_LIVED)
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


LONGEST_FIRST = ("fault", "integration", "trainer")
"""Folders in the order in which their tests run: two workers then end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of no such folder come last; the order within a folder stays."""

    def place(item: pytest.Item) -> int:
        folders = item.path.relative_to(item.config.rootpath).parts
        return next((n for n, name in enumerate(LONGEST_FIRST) if name in folders), len(LONGEST_FIRST))

    items.sort(key=place)


def with_values(settings: Settings, *assignments: str) -> Settings:
    """The same tree with some values changed."""
    return load(environment=settings.environment(), assignments=assignments).settings


@pytest.fixture(scope="session")
def jars_there() -> None:
    """The pinned jars are in the user's cache."""
    for _ in jars.fetch(jars.locked(), load(environment={}).settings.cache_dir):
        pass


@pytest.fixture(scope="session")
def stack_settings(jars_there: None, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the session's stack: free ports, a data directory of its own, the user's cache of jars."""
    zeros = [f"local.ports.{name}=0" for name in Ports.model_fields]
    settings = load(
        environment={"HEADRACE_CONFIG": "/dev/null"},
        assignments=[*zeros, f"local.data_dir={tmp_path_factory.mktemp('stack')}"],
    ).settings
    chosen = ports.choose(settings).model_dump()
    return with_values(
        settings,
        *(f"local.ports.{name}={port}" for name, port in chosen.items()),
        f"kafka.brokers={ports.HOST}:{chosen['broker']}",
        f"flink.rest=http://{ports.HOST}:{chosen['flink']}",
    )


@pytest.fixture(scope="session")
def broker(stack_settings: Settings) -> Iterator[Settings]:
    """A real broker; topics are made by each test's `settings`."""
    running = process.start(broker_part(stack_settings), stack_settings.data_dir)
    try:
        Cluster(stack_settings).wait(60)
        yield stack_settings
    finally:
        process.end(process.marked(stack_settings.data_dir, "broker"), grace_s=20)
        running.wait()


@pytest.fixture
def settings(broker: Settings, tmp_path: Path) -> Settings:
    """The session's broker with topics, groups, state and checkpoints of this test alone."""
    own = with_values(broker, f"kafka.topic_prefix=t{uuid4().hex[:8]}.", f"local.data_dir={tmp_path}")
    create_topics(Cluster(own))
    return own


@pytest.fixture(scope="session")
def flink(broker: Settings) -> Iterator[dict[str, str]]:
    """A real cluster at `flink.rest` of the settings; the environment in which a program submits a job to it."""
    cluster = flink_parts(broker)
    running = [process.start(part, broker.data_dir) for part in cluster.processes]
    try:
        deadline = time.monotonic() + 90
        while not ready(TASKMANAGER, broker):
            assert time.monotonic() < deadline, "no slots"
            time.sleep(0.2)
        yield cluster.environment
    finally:
        for part in running:
            part.terminate()
            part.wait(30)
        process.end(process.marked(broker.data_dir, "taskmanager"), grace_s=10)  # its Python workers
