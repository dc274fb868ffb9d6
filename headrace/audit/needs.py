"""Who still needs what: from which record of the plan on, and from which offset of each partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from headrace.audit.cut import Cut
from headrace.checkpoints import finished, name_of, pins
from headrace.contract.audit import VerifiedCut
from headrace.contract.topics import BLOCKS, CLEAN, PLAN, RAW, REJECTED, WINDOWS
from headrace.contract.training import MANIFEST

DELETED = (RAW, CLEAN, REJECTED, BLOCKS, WINDOWS)
"""The topics that `headrace retention` shortens. `train.plan` is kept for ever: it says what every run was fed."""


class Need(NamedTuple):
    """Whoever needs the data of the plan's record `seq`, and of all later ones; `run` if it is one."""

    seq: int
    by: str
    run: str = ""


@dataclass(frozen=True)
class Row:
    """One partition: what is below `target` goes. `by` names who holds the rest; `bytes` is about what goes."""

    topic: str
    partition: int
    first: int
    target: int
    by: str
    bytes: int = 0

    @property
    def records(self) -> int:
        """Offsets that go; markers are counted too."""
        return max(0, self.target - self.first)


def runs_in(checkpoint_dir: Path, first: str) -> list[str]:
    """`first`, and every other run that has a manifest."""
    found = {path.parent.parent.name for path in checkpoint_dir.glob(f"*/step-*/{MANIFEST}")}
    found |= {path.parent.parent.name for path in checkpoint_dir.glob("*/history/step-*.json")}
    return [first, *sorted(found - {first})]


def needs_of_runs(checkpoint_dir: Path, runs: Sequence[str], newest: int) -> list[Need]:
    """What each run needs: all that comes after the oldest checkpoint from which it may be trained on.

    Those are its `newest` ones with weights and the pinned ones. What is kept for its weights alone (one in
    trainer.keep_every_steps, the untrained one of step 0) counts only while a run has nothing else: who goes back to
    it would have to read what is gone. A run without any needs everything.
    """
    needs = []
    for run in runs:
        there = [checkpoint.manifest for checkpoint in finished(checkpoint_dir / run)]
        pinned = pins(checkpoint_dir / run)
        trained = [one for one in there if one.step > 0] or there
        kept = [one for one in there if one in trained[-newest:] or one.step in pinned]
        if kept:
            how = ", pinned" if kept[0].step in pinned else ""
            needs.append(Need(kept[0].seq, f"run {run}, {name_of(kept[0].step)}{how}", run))
        else:
            needs.append(Need(0, f"run {run}, which has no checkpoint yet", run))
    return needs


def rows(
    cut: Cut,
    past: VerifiedCut,
    holder: Need,
    rejected_from: Mapping[int, int],
    sizes: Mapping[str, float],
) -> list[Row]:
    """What goes of each partition when everything before `past` may go, as far as the jobs have passed it.

    `holder` is who needs what comes first, and keeps `past` from being later. One who needs what lies before the cut
    that verify began with keeps everything: where in the topics that begins is not known any more. `rejected_from` is
    the first reject that is kept for replay, by partition; `sizes` the mean size of a record.
    """
    found = []
    for topic in DELETED:
        for partition in sorted(cut.end[topic]):
            first = cut.first[topic][partition]
            target, by = past.position(topic, partition), holder.by
            limits = {
                RAW: (cut.passed[RAW].get(partition, 0), "clean job"),
                CLEAN: (cut.passed[CLEAN].get(partition, 0), "tokenize job"),
                REJECTED: (rejected_from.get(partition, target), "kept for replay"),
            }
            if topic in limits and limits[topic][0] < target:
                target, by = limits[topic]
            if holder.seq < cut.start.seq:
                target, by = first, holder.by
            size = sizes.get(topic, 0.0) * max(0, target - first)
            found.append(Row(topic, partition, first, max(first, target), by, round(size)))
    found.append(Row(PLAN, 0, cut.first[PLAN][0], cut.first[PLAN][0], "kept for ever"))
    return found
