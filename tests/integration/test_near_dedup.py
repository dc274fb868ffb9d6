"""Near duplicates on a real cluster: of each planted pair one survives, whoever overtakes whom and whatever dies."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterable, Iterator

import pytest

from headrace.contract import topics
from headrace.contract.settings import Settings
from headrace.jobs import CLEAN
from headrace.local import process
from headrace.local.flink import DEPLOY
from headrace.local.parts import TASKMANAGER
from tests.conftest import with_values
from tests.integration.jobs_stream import Raw, Stream
from tests.planted import pairs

NEAR = ("clean.near_dedup=true", "clean.profile=none", "flink.checkpoint_interval_ms=500", "flink.parallelism=2")


@pytest.fixture
def stream(settings: Settings, flink: dict[str, str]) -> Iterator[Stream]:
    made = Stream(with_values(settings, *NEAR), flink)
    made.good_states = ("CREATED", "RUNNING", "FAILING", "RESTARTING")
    try:
        yield made
    finally:
        made.end()


def publish(stream: Stream, texts: Iterable[str], partition: int) -> list[Raw]:
    return stream.publish(((text.encode(), {}) for text in texts), partition)


def kill_taskmanager(stack: Settings, flink: dict[str, str]) -> None:
    """SIGKILL, to its Python workers as well, and another one in its place."""
    process.signal_all(process.marked(stack.data_dir, TASKMANAGER), signal.SIGKILL)
    command = "bash", str(DEPLOY / "run.sh"), TASKMANAGER, str(stack.local.ports.taskmanager_metrics)
    process.start(process.Part(TASKMANAGER, command, {**stack.environment(), **flink}), stack.data_dir)


def settle(stream: Stream) -> None:
    """Wait until every published document has an outcome."""
    names = (topics.CLEAN, topics.REJECTED)
    stream.wait(lambda: sum(len(stream.read(name)) for name in names) >= len(stream.published), "all outcomes", 240)


def test_exactly_one_of_each_pair_survives(stream: Stream, broker: Settings, flink: dict[str, str]) -> None:
    check_survivors(stream, broker, flink, 3_000)


def check_survivors(stream: Stream, broker: Settings, flink: dict[str, str], count: int) -> None:
    """So many pairs through the clean job, with a TaskManager killed on the way: one of each is accepted."""
    third = count // 3
    planted = list(pairs(count))
    adjoining, apart, later = planted[:third], planted[third : 2 * third], planted[2 * third :]
    # One behind the other; side by side, each read by another task; one before and one after a TaskManager dies.
    in_turn = publish(stream, (text for pair in adjoining for text in pair), 0)
    ones = in_turn[::2] + publish(stream, (one for one, _ in apart), 1)
    others = in_turn[1::2] + publish(stream, (other for _, other in apart), 2)
    ones += publish(stream, (one for one, _ in later), 3)
    stream.start(CLEAN)
    stream.wait(lambda: len(stream.read(topics.CLEAN)) > 0, "first document")
    kill_taskmanager(broker, flink)
    others += publish(stream, (other for _, other in later), 1)
    settle(stream)

    clean = Counter(document.raw for document, _ in stream.clean())
    rejected = Counter(headers.raw for headers, _ in stream.rejected("clean"))
    assert clean + rejected == Counter(stream.published.keys()), "one outcome each"
    survivors = Counter(clean[one] + clean[other] for one, other in zip(ones, others, strict=True))
    assert survivors == {1: count}
    for headers, message in stream.rejected("clean"):
        assert (headers.reason, headers.stage, headers.detail, message.value()) == ("near_duplicate", "clean", "", None)
