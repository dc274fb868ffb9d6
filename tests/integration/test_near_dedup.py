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

PAIRS = 3_000
NEAR = ("clean.near_dedup=true", "clean.profile=none", "flink.checkpoint_interval_ms=500", "flink.parallelism=2")


@pytest.fixture
def stream(settings: Settings, flink: dict[str, str]) -> Iterator[Stream]:
    made = Stream(with_values(settings, *NEAR), flink)
    made.good_states = ("CREATED", "RUNNING", "FAILING", "RESTARTING")
    try:
        yield made
    finally:
        made.end()


def deal(stream: Stream, texts: Iterable[str], partitions: tuple[int, int]) -> list[Raw]:
    """Publish them to two partitions, half and half; their coordinates in order of the texts."""
    texts = list(texts)
    half = len(texts) // 2
    return [
        raw
        for partition, part in zip(partitions, (texts[:half], texts[half:]), strict=True)
        for raw in stream.publish(((text.encode(), {}) for text in part), partition)
    ]


def kill_taskmanager(stack: Settings, flink: dict[str, str]) -> None:
    """SIGKILL, to its Python workers as well, and another one in its place."""
    process.signal_all(process.marked(stack.data_dir, TASKMANAGER), signal.SIGKILL)
    command = "bash", str(DEPLOY / "run.sh"), TASKMANAGER, str(stack.local.ports.taskmanager_metrics)
    process.start(process.Part(TASKMANAGER, command, {**stack.environment(), **flink}), stack.data_dir)


def settle(stream: Stream) -> None:
    """Wait until every published document has an outcome."""
    names = (topics.CLEAN, topics.REJECTED)
    stream.wait(lambda: sum(len(stream.read(name)) for name in names) >= len(stream.published), "all outcomes")


def test_exactly_one_of_each_pair_survives(stream: Stream, broker: Settings, flink: dict[str, str]) -> None:
    planted = list(pairs(PAIRS))
    third = PAIRS // 3
    ones, others = deal(stream, (one for one, _ in planted[: 2 * third]), (0, 1)), list[Raw]()
    others += deal(stream, (other for _, other in planted[:third]), (2, 3))
    stream.start(CLEAN)
    stream.wait(lambda: len(stream.read(topics.CLEAN)) > 0, "first document")
    kill_taskmanager(broker, flink)
    others += deal(stream, (other for _, other in planted[third:]), (3, 2))
    ones += deal(stream, (one for one, _ in planted[2 * third :]), (1, 0))
    settle(stream)

    clean = Counter(document.raw for document, _ in stream.clean())
    rejected = Counter(headers.raw for headers, _ in stream.rejected("clean"))
    assert clean + rejected == Counter(stream.published.keys()), "one outcome each"
    survivors = Counter(clean[one] + clean[other] for one, other in zip(ones, others, strict=True))
    assert survivors == {1: PAIRS}
    for headers, message in stream.rejected("clean"):
        assert (headers.reason, headers.stage, headers.detail, message.value()) == ("near_duplicate", "clean", "", None)
