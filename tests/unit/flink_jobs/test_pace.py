"""No stretch of time holds more bytes than its rate allows, however they come; and nothing waits without need."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.text.pace import (
    BUNDLE_SHARE,
    MB,
    MOST_RECORDS,
    OWN_MB,
    PIECE_BYTES,
    Pace,
    bundle_records,
    heap_mb,
    window_bytes,
)

RATE = 100.0


@dataclass
class Clock:
    """Time passes only by sleeping and by `wait`; `taken` holds when how much was let through."""

    seconds: float = 1000.0
    taken: list[tuple[float, int]] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


def let_through(calls: list[tuple[float, int]]) -> Clock:
    """Each call comes so long after the one before was let through, with so many bytes."""
    clock = Clock()
    pace = Pace(RATE, clock.now, clock.wait)
    for pause, size in calls:
        clock.wait(pause)
        pace.take(size)
        clock.taken.append((clock.seconds, size))
    return clock


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 500)), max_size=30), st.floats(0.1, 10))
def test_a_window_holds_what_its_rate_allows_and_two_documents(calls: list[tuple[float, int]], window: float) -> None:
    clock = let_through(calls)
    largest = max((size for _, size in calls), default=0)
    for begin, _ in clock.taken:
        inside = sum(size for at, size in clock.taken if begin <= at < begin + window)
        assert inside <= RATE * window + RATE + largest + 1e-6


def test_what_comes_slowly_never_waits() -> None:
    clock = let_through([(1.0, 100)] * 20)
    assert [at for at, _ in clock.taken] == [1001.0 + second for second in range(20)]


def test_a_document_larger_than_a_seconds_worth_passes_and_the_next_one_waits() -> None:
    clock = let_through([(0.0, 1000), (0.0, 1)])
    assert [at for at, _ in clock.taken] == [1000.0, 1009.0]


def test_a_pause_saves_up_no_more_than_a_second() -> None:
    clock = let_through([(60.0, 100), (0.0, 100), (0.0, 100)])
    assert [at for at, _ in clock.taken] == [1060.0, 1060.0, 1061.0]


def test_every_taskmanager_that_settings_allow_has_room_for_windows() -> None:
    sizes = [window_bytes(mb) for mb in (1024, 2048, 4096)]
    assert sizes == sorted(sizes)
    assert 1e6 < sizes[0] < sizes[1] < 40e6


def test_a_bundle_holds_the_more_the_larger_the_heap_is() -> None:
    assert [bundle_records(mb) for mb in (1024, 1280, 2048, 4096)] == [14, 78, 256, 256]


def test_a_full_bundle_of_short_documents_is_as_many_bytes_as_one_of_long_ones() -> None:
    share = (heap_mb(2048) - OWN_MB) * MB / BUNDLE_SHARE
    assert 0.9 * share < MOST_RECORDS * PIECE_BYTES <= share
