"""What befalls every system, and when: from a seed, moments in documents fed, so that they mean the same for all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

IN_STEP, IN_SAVE, AFTER_SAVE = "in a step", "in a checkpoint", "after a checkpoint"
PAUSE, PAUSE_BROKER, OTHER_RANKS = "pause", "pause the broker", "other ranks"
KINDS = (IN_STEP, IN_SAVE, AFTER_SAVE, PAUSE, PAUSE_BROKER, OTHER_RANKS)
"""SIGKILL of the trainer (of a rank) after the gradients and before the update; while a checkpoint is written; right
when it is there; SIGSTOP of the trainer for PAUSE_S; of the broker; SIGKILL, and it goes on with other ranks."""
PAUSE_S = 20
"""Longer than the session of a group (`auto_commit.SESSION_MS`), and than our ranks wait for each other."""
GAP = (40, 120)
"""Documents of steady work before a fault: seven to twenty seconds at the pace of the stream."""


@dataclass(frozen=True)
class Fault:
    """`kind` happens when `gap` more documents have been fed since all was well again after the one before."""

    kind: str
    gap: int
    ranks: int = 0


def draw(count: int, seed: int) -> Iterator[Fault]:
    """So many faults: all kinds in some order, then all in another, and so on."""
    drawn = random.Random(seed)
    hand: list[str] = []
    ranks = 2
    for _ in range(count):
        hand = hand or drawn.sample(KINDS, len(KINDS))
        kind, gap = hand.pop(), drawn.randint(*GAP)
        if kind == OTHER_RANKS:
            ranks = drawn.choice([each for each in (2, 3, 4) if each != ranks])
        yield Fault(kind, gap, ranks if kind == OTHER_RANKS else 0)
