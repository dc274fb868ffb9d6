"""What to break, where and when: `kill("rank1").at("backward", step=7)`, `pause("broker", seconds=20)`.

A fault is a value; `tests/fault/strikes.py` makes it happen and insists that it fired inside work.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

OPEN_TRANSACTION = "open transaction"
"""A job has written records that no reader sees yet."""
METADATA = "metadata"
"""The clean job's checkpoint is complete, and what it covers is not committed yet."""

STEP = "step"
"""A step was just reported."""


@dataclass(frozen=True)
class Fault:
    """`deed` befalls `victim` (a rank, or a part of the stack) at `point`, when it comes there the `visit`th time from
    `step` on. Points inside trainer and planner: `tests/fault/places.py`.

    `seconds`: how long it is paused, or by how much the clock is set. `ranks`: how many the trainer has afterwards, 0
    as many as before.
    """

    deed: str
    victim: str
    point: str = OPEN_TRANSACTION
    step: int = 0
    visit: int = 1
    seconds: int = 0
    ranks: int = 0

    def at(self, point: str, step: int = 0, visit: int = 1) -> Fault:
        """The same at this point."""
        return replace(self, point=point, step=step, visit=visit)

    def then_with(self, ranks: int) -> Fault:
        """The same, and the trainer goes on with another number of ranks."""
        return replace(self, ranks=ranks)

    @property
    def subject(self) -> str:
        """What befalls whom, as the table names it."""
        how = f" {self.seconds} s" if self.seconds else ""
        return f"{self.deed} {self.victim}{how}" + (f", then {self.ranks} ranks" if self.ranks else "")

    @property
    def kind(self) -> str:
        """The same for every rank, and for every number of them."""
        victim = self.victim.rstrip("0123456789")
        return f"{self.deed} {victim}" + (", then other ranks" if self.ranks else "")


def kill(victim: str) -> Fault:
    """SIGKILL."""
    return Fault("kill", victim)


def pause(victim: str, seconds: int) -> Fault:
    """SIGSTOP, and SIGCONT so much later."""
    return Fault("pause", victim, seconds=seconds)


def disconnect(victim: str) -> Fault:
    """Its connections to the broker are shut down."""
    return Fault("disconnect", victim)


def tear_manifest() -> Fault:
    """The newest manifest is cut in half, and the trainer killed."""
    return Fault("tear", "rank0", "manifest")


def replace_paused_planner() -> Fault:
    """The planner sleeps between write and commit while a second one takes over; then it wakes."""
    return Fault("replace", "planner", "write")


def fill_disk() -> Fault:
    """The disk of the checkpoints has not a byte left while one is written."""
    return Fault("fill", "rank0", "checkpoint")


def set_clock(seconds: int) -> Fault:
    """The clock of the whole stack is set by so much."""
    return Fault("clock", "all", seconds=seconds)


Kind = Callable[[random.Random], Fault]
KINDS: Sequence[Kind] = (
    lambda drawn: kill(a_rank(drawn)).at("forward", visit=a_visit(drawn)),
    lambda drawn: kill(a_rank(drawn)).at("backward", visit=a_visit(drawn)),
    lambda drawn: kill(a_rank(drawn)).at("reduce", visit=a_visit(drawn)),
    lambda drawn: kill(a_rank(drawn)).at("update", visit=a_visit(drawn)),
    lambda drawn: kill("rank0").at("checkpoint"),
    lambda drawn: kill("trainer").at(STEP),
    lambda drawn: tear_manifest(),
    lambda drawn: kill(a_rank(drawn)).at("backward").then_with(ranks=drawn.choice((2, 3, 4))),
    lambda drawn: pause(a_rank(drawn), seconds=drawn.choice((3, 30))).at("reduce", visit=a_visit(drawn)),
    lambda drawn: disconnect(a_rank(drawn)).at("forward", visit=a_visit(drawn)),
    lambda drawn: fill_disk(),
    lambda drawn: kill("planner").at("write", visit=a_visit(drawn)),
    lambda drawn: kill("planner").at("commit", visit=a_visit(drawn)),
    lambda drawn: replace_paused_planner(),
    lambda drawn: kill("taskmanager").at(OPEN_TRANSACTION),
    lambda drawn: kill("taskmanager").at(METADATA),
    lambda drawn: kill("jobmanager").at(OPEN_TRANSACTION),
    lambda drawn: kill("broker").at(OPEN_TRANSACTION),
    lambda drawn: pause("broker", seconds=20).at(OPEN_TRANSACTION),
    lambda drawn: set_clock(-30),
)
"""Twenty kinds, so that a hundred faults hold each of them five times."""


def draw(count: int, seed: int, without: Sequence[str] = ()) -> Iterator[Fault]:
    """So many faults: all kinds in some order, then all in another, and so on; `without` these deeds."""
    drawn = random.Random(seed)
    hand: list[Fault] = []
    for _ in range(count):
        if not hand:
            hand = [fault for kind in KINDS if (fault := kind(drawn)).deed not in without]
            drawn.shuffle(hand)
        yield hand.pop()


def a_rank(drawn: random.Random) -> str:
    """One that is there at any number of ranks from 2 on."""
    return drawn.choice(("rank0", "rank1"))


def a_visit(drawn: random.Random) -> int:
    """So that the fault comes at any time between two checkpoints."""
    return drawn.randint(1, 6)
