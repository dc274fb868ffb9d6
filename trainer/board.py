"""Where every rank of a fleet on one machine is, for those who ask when it cannot say so itself any more."""

from __future__ import annotations

import faulthandler
import mmap
import time
from typing import NamedTuple

import numpy as np

SLOT = np.dtype([("step", "<i8"), ("since", "<f8"), ("part", "S16")])
START = "start"
"""What a rank does before it waits for its first step: until then it has nothing to save."""


SPARE_S = 1.0
"""A fleet names a rank that is stuck before that writes its traceback."""


def guard(watchdog_s: float) -> None:
    """Write this process's traceback and end it, unless this is called again within the watchdog's time."""
    faulthandler.dump_traceback_later(watchdog_s + SPARE_S, exit=True)


class Standing(NamedTuple):
    """A rank is in `part` of `step` (-1: before any) since that time of the machine's monotonic clock."""

    step: int
    part: str
    since: float

    @property
    def for_s(self) -> float:
        return time.monotonic() - self.since

    def __str__(self) -> str:
        return f"in {self.part} of step {self.step} since {self.for_s:.1f} s" if self.step >= 0 else f"in {self.part}"


class Board:
    """One slot a rank, in memory that forks of this process share. Each rank writes its own, anyone reads all.

    A rank that was launched otherwise has a board of its own, on which the others never write.
    """

    def __init__(self, ranks: int) -> None:
        self.ranks = ranks
        self.slots = np.frombuffer(mmap.mmap(-1, ranks * SLOT.itemsize), SLOT)

    def write(self, rank: int, step: int, part: str) -> None:
        """Say where a rank is from now on.

        Field by field, each in one store: who reads meanwhile may see the last step with the next part, but no zeros,
        as `struct.pack_into` would show them.
        """
        self.slots["since"][rank] = time.monotonic()
        self.slots["step"][rank] = step
        self.slots["part"][rank] = part.encode()

    def of(self, rank: int) -> Standing:
        """Where a rank is; its part is empty if it has never said."""
        step, since, part = self.slots[rank].item()
        return Standing(step, part.decode(), since)

    def begin(self) -> None:
        """All ranks start."""
        for rank in range(self.ranks):
            self.write(rank, -1, START)

    def absent(self, rank: int) -> str:
        """Those that are not where `rank` is, in words; all others if they all are. Empty if nobody has said."""
        mine = self.of(rank)
        said = {other: self.of(other) for other in range(self.ranks) if other != rank and self.of(other).part}
        elsewhere = {other: standing for other, standing in said.items() if standing[:2] != mine[:2]}
        return ", ".join(f"rank {other} was last seen {standing}" for other, standing in (elsewhere or said).items())
