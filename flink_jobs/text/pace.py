"""How much may come at once, so that neither a bundle nor a window outgrows the heap."""

from __future__ import annotations

from collections.abc import Callable

MB = 1_000_000
OWN_MB = 200
"""What the job takes of the heap itself: buffers of its producers, fetched records."""
WINDOW_SHARE = 20
"""A window may take so small a part of the rest: while it is packed its tokens are there a dozen times over, most of
all as blocks, whose headers outweigh them. Measured in docs/results/2026-11-25-backlog.md."""

BUNDLE_SHARE = 47
"""A bundle may be so small a part of the rest: both jobs hold one in each subtask, several times over between Kafka and
the window. Measured with documents of a megabyte in docs/results/2026-11-28-text.md."""

MOST_RECORDS = 256
"""In a bundle. Each costs Python and Java a millisecond; of more than these it no longer shows."""

PIECE_BYTES = 56 * 1024
"""A document counts as one record of a bundle, and as one more for each so many bytes of it. It stands in the jobs'
plans, so it depends on no setting; at the default size of a TaskManager, MOST_RECORDS of these are what fits."""


def heap_mb(taskmanager_memory_mb: int) -> float:
    """The heap of a TaskManager of that size: what deploy/flink/config.yaml and Flink leave.

    After metaspace (256 MB) and overhead (a tenth), without managed memory (a quarter), network (a tenth) and 128 MB
    off the heap.
    """
    flink_mb = taskmanager_memory_mb - 256 - max(192, 0.1 * taskmanager_memory_mb)
    return 0.75 * flink_mb - max(64, 0.1 * flink_mb) - 128


def window_bytes(taskmanager_memory_mb: int) -> int:
    """Bytes of encoded documents that one window of the whole job may hold, on a TaskManager of that size."""
    return int((heap_mb(taskmanager_memory_mb) - OWN_MB) * MB / WINDOW_SHARE)


def bundle_records(taskmanager_memory_mb: int) -> int:
    """How many records Python may take in one bundle, each of PIECE_BYTES or less."""
    fit = int((heap_mb(taskmanager_memory_mb) - OWN_MB) * MB / BUNDLE_SHARE) // PIECE_BYTES
    return max(1, min(MOST_RECORDS, fit))


class Pace:
    """Lets through at most `rate` bytes a second, and a second's worth at once after a pause.

    What one call takes beyond that, the next one waits for, so that the largest document passes as well. `now` is a
    clock in seconds that does not go back, `sleep` blocks for seconds.
    """

    def __init__(self, rate: float, now: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self.rate = rate
        self.now = now
        self.sleep = sleep
        self.left, self.at = rate, now()

    def take(self, size: int) -> None:
        """Block until `size` bytes more may pass."""
        self._refill()
        if self.left < 0:
            self.sleep(-self.left / self.rate)
            self._refill()
        self.left -= size

    def _refill(self) -> None:
        now = self.now()
        self.left = min(self.rate, self.left + (now - self.at) * self.rate)
        self.at = now
