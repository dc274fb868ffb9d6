"""What the final weights have seen, and what that is against what was published. Imports nothing of ours.

A document is its coordinate: partition, offset, which of the message's. An attempt that goes on from step s has none of
what earlier attempts fed from step s on: their weights are gone. What is left when the run is over is the history of
the final weights. A published document that is not in it is lost; one that is there n times is repeated n - 1 times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Coordinate = tuple[int, int, int]


@dataclass(frozen=True)
class Tally:
    """`rejected`: not trained for a reason that is on record. `unknown`: trained and never acknowledged."""

    published: int
    rejected: int
    lost: int
    repeated: int
    unknown: int


def history(lines: Iterable[Mapping[str, Any]], last: int) -> Counter[Coordinate]:
    """How often weights after `last` steps have seen each document. `lines`: of the log in `training.py`, in order."""
    steps: list[tuple[int, list[Coordinate]]] = []
    for line in lines:
        if "resumed" in line:
            steps = [(step, documents) for step, documents in steps if step < line["resumed"]]
        else:
            steps.append((line["step"], [(p, offset, index) for p, offset, index in line["documents"]]))
    return Counter(document for step, documents in steps if step < last for document in documents)


def tally(
    published: Collection[Coordinate], seen: Mapping[Coordinate, int], rejected: Collection[Coordinate] = ()
) -> Tally:
    """The count. A document that is rejected and trained all the same is unknown."""
    there = set(published) - set(rejected)
    return Tally(
        len(published),
        len(set(published) & set(rejected)),
        sum(seen.get(document, 0) == 0 for document in there),
        sum(max(0, times - 1) for times in seen.values()),
        len(seen.keys() - there),
    )
