"""When a checkpoint is due by the clock. Rank 0's decides: it tells the others in the header of a step."""

from __future__ import annotations

from collections.abc import Callable


class Schedule:
    """Due `every_s` seconds after the last save began (0: never). `clock` gives seconds and does not go back."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        self.every_s = every_s
        self.clock = clock
        self.since = clock()

    @property
    def due(self) -> bool:
        return self.every_s > 0 and self.clock() - self.since >= self.every_s

    def begun(self) -> None:
        """A save began, or nothing was new."""
        self.since = self.clock()
