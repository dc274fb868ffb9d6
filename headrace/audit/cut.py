"""The cut: from where and up to where each log is read, such that what is missing below its end is missing for good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from headrace.contract.audit import BEGINNING, VerifiedCut
from headrace.contract.topics import (
    BLOCKS,
    CLEAN,
    CLEAN_GROUP,
    PLAN,
    RAW,
    REJECTED,
    STEPS,
    TOKENIZE_GROUP,
    WINDOWS,
)
from headrace.kafka import Cluster

Positions = Mapping[int, int]

READ = (STEPS, PLAN, WINDOWS, BLOCKS, REJECTED, CLEAN, RAW)
"""The logs that are read, each after those that are made from it."""


@dataclass(frozen=True)
class Cut:
    """Offsets by topic and partition.

    passed  what each job had committed to its group before anything else was asked: `text.raw` by the clean job,
            `text.clean` by the tokenize job; a partition without a commit is absent
    first   the first offset that is still there
    end     position after the last record that counts; no transaction below it is open
    start   what was verified before: only what comes after it is read
    """

    passed: Mapping[str, Positions]
    first: Mapping[str, Positions]
    end: Mapping[str, Positions]
    start: VerifiedCut = BEGINNING

    def begin(self, name: str, partition: int) -> int:
        """The offset at which reading begins."""
        return max(self.first[name][partition], self.start.position(name, partition))

    @property
    def records(self) -> int:
        """Upper bound of the records to read; markers are counted too."""
        return sum(max(0, self.end[name][part] - self.begin(name, part)) for name in READ for part in self.end[name])


def take_cut(cluster: Cluster, timeout_s: float, start: VerifiedCut = BEGINNING) -> Cut:
    """Ask the broker for a cut. Blocks until the transactions that are open now are decided.

    Order is what makes it hold. A job commits its position only after a checkpoint, when all outcomes below it are
    written, though perhaps not yet committed: so positions come first, then the ends with open transactions included,
    then the wait. A log comes before the one that it was made from, so nothing in the cut stems from beyond it. Seals
    and blocks are written side by side: the wait for the seals makes sure that their blocks are there too.

    Raises DependencyError naming the partition whose transaction stays open for `timeout_s`.
    """
    passed = {RAW: cluster.committed(CLEAN_GROUP, RAW), CLEAN: cluster.committed(TOKENIZE_GROUP, CLEAN)}
    end: dict[str, Positions] = {name: cluster.settled_ends(name, timeout_s) for name in READ}
    first = {name: cluster.first_offsets(name) for name in READ}
    return Cut(passed, first, end, start)
