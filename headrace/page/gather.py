"""What a page says of a run, taken from records one by one, in memory that does not grow with the run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from headrace.audit.findings import Findings
from headrace.audit.manifests import read_manifests
from headrace.contract.blocks import Block, Seal
from headrace.contract.documents import RejectedHeaders
from headrace.contract.errors import Coordinate, RecordError, SettingsError
from headrace.contract.topics import BLOCKS, CLEAN, REJECTED, STEPS, WINDOWS
from headrace.contract.training import MANIFEST, IdleReport, Manifest, Report, StepReport, decode_report
from headrace.kafka import Cluster, coordinate
from headrace.page.series import Series

NAMES = 200
"""Sources, languages and errors that are counted by name; further ones are `other`."""
OTHER = "other"
ATTEMPTS = 100
"""Attempts that are kept by name: the newest."""
ENTROPY_BLOCKS = 20_000
"""Word frequency is counted in so many of the newest blocks."""


def count(names: Counter[str], name: str, more: int = 1) -> None:
    """Count under a name, or under `other` where there are many already."""
    names[name if name in names or len(names) < NAMES else OTHER] += more


@dataclass
class Attempt:
    """One start of a run, by its reports. `again`: steps that an earlier attempt had reported; times in epoch ms."""

    name: str
    ranks: int
    first_step: int
    last_step: int
    began: int
    ended: int
    again: int = 0


@dataclass
class Training:
    """The reports of one run. A step that was reported again counts once in `by_tokens`, each time in `by_time`.

    by_tokens   loss over all tokens trained, a step weighs its tokens
    by_time     loss, age in seconds, tokens, and seconds by part ("part NAME"), over epoch ms
    ages        reports by log of their age: what quantiles are taken from
    sources     [tokens, summed loss] by source
    """

    run: str
    by_tokens: Series = field(default_factory=Series)
    by_time: Series = field(default_factory=Series)
    attempts: dict[str, Attempt] = field(default_factory=dict)
    attempts_before: int = 0
    ages: Counter[float] = field(default_factory=Counter)
    sources: dict[str, tuple[int, float]] = field(default_factory=dict)
    parts: dict[str, float] = field(default_factory=dict)
    save_errors: Counter[str] = field(default_factory=Counter)
    reports: int = 0
    again: int = 0
    skipped: int = 0
    first: StepReport | None = None
    last: StepReport | None = None
    heard: int = 0
    others: set[str] = field(default_factory=set)

    def take(self, report: Report) -> None:
        """The next record of `train.steps`."""
        if report.run != self.run:
            self.others.add(report.run)
            return
        self.heard = report.time
        if report.save_error:
            count(self.save_errors, report.save_error)
        if isinstance(report, IdleReport):
            return
        self._note_attempt(report)
        if self.last is not None and report.step <= self.last.step:
            self.by_tokens.forget_from(report.tokens_total)
        self.first = report if self.first is None or report.step <= self.first.step else self.first
        self.last = report
        self.reports, self.skipped = self.reports + 1, self.skipped + report.skipped
        self.ages[round(math.log(max(report.age_s, 1e-3)), 2)] += 1
        self._note_values(report)

    def _note_values(self, report: StepReport) -> None:
        values = {"age": report.age_s, "tokens": float(report.tokens)}
        if math.isfinite(report.loss):
            values["loss"] = report.loss
            self.by_tokens.add(report.tokens_total, {"loss": report.loss}, max(1, report.tokens))
        self.by_time.add(report.time, values | {f"part {name}": spent for name, spent in report.seconds.items()})
        for name, spent in report.seconds.items():
            self.parts[name] = self.parts.get(name, 0.0) + spent
        for name, (tokens, summed) in report.sources.items():
            known = name if name in self.sources or len(self.sources) < NAMES else OTHER
            before = self.sources.get(known, (0, 0.0))
            self.sources[known] = before[0] + tokens, before[1] + summed

    def _note_attempt(self, report: StepReport) -> None:
        attempt = self.attempts.get(report.attempt)
        if attempt is None:
            step, now = report.step, report.time
            attempt = Attempt(report.attempt, report.ranks, step, step, now, now)
            self.attempts[report.attempt] = attempt
            if self.last is not None:
                attempt.again = max(0, self.last.step + 1 - step)
                self.again += attempt.again
            if len(self.attempts) > ATTEMPTS:
                self.attempts.pop(next(iter(self.attempts)))
                self.attempts_before += 1
        attempt.last_step, attempt.ended = report.step, report.time

    def age(self, share: float) -> float:
        """The age in seconds of the oldest text of a step that `share` of the steps do not exceed, within 1 %."""
        left = share * self.ages.total()
        for log, steps in sorted(self.ages.items()):
            left -= steps
            if left <= 0:
                return math.exp(log)
        return math.nan


@dataclass
class Documents:
    """What became of the documents. `by_time`: accepted, and rejected by reason, over their publishing in epoch ms.

    One that stage tokenize rejected is not accepted here.
    """

    by_time: Series = field(default_factory=Series)
    accepted: int = 0
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    @property
    def rejected(self) -> int:
        return self.reasons.total()

    def accept(self, value: bytes | None, published: int, at: Coordinate) -> None:
        """One record of `text.clean`; raises RecordError for one that is none."""
        try:
            said = orjson.loads(value or b"")
            language, source = said["language"], said["source"]
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(at, f"not a document: {error}") from None
        self.accepted += 1
        count(self.languages, language or "")
        count(self.sources, source or "")
        self.by_time.add(published, {"accepted": 1})

    def reject(self, said: RejectedHeaders, published: int) -> None:
        """One record of `text.rejected`."""
        late = said.stage == "tokenize"
        self.accepted -= late
        self.reasons[said.stage, said.reason] += 1
        self.by_time.add(published, {said.reason: 1, "accepted": -1} if late else {said.reason: 1})


@dataclass
class Windows:
    """What the tokenize job made, by its seals; `by_time`: tokens over the windows' ends in epoch ms."""

    by_time: Series = field(default_factory=Series)
    documents: int = 0
    tokens: int = 0
    blocks: int = 0

    def take(self, seal: Seal) -> None:
        """One record of `tokens.windows`."""
        self.documents, self.tokens = self.documents + seal.documents, self.tokens + seal.tokens
        self.blocks += seal.blocks
        self.by_time.add(seal.end, {"tokens": seal.tokens})


@dataclass
class Facts:
    """All that a page says, but the proof.

    manifests     of all checkpoints of the run, by step; `kept`: the steps of those that have their weights
    frequencies   how often each token id stands in the newest `entropy_blocks` blocks, i64 [highest id + 1]
    """

    training: Training
    documents: Documents = field(default_factory=Documents)
    windows: Windows = field(default_factory=Windows)
    manifests: Sequence[Manifest] = ()
    kept: frozenset[int] = frozenset()
    frequencies: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    entropy_blocks: int = 0


def gather(cluster: Cluster, run: str) -> Facts:
    """Read what the topics and the checkpoint directory hold of a run. Blocks while it reads each topic once.

    Raises SettingsError where the run has reported no step, RecordError naming a record that cannot be read.
    """
    facts = Facts(Training(run))
    for message in cluster.read_all(STEPS):
        facts.training.take(decode_report(message.value(), coordinate(message)))
    if facts.training.last is None:
        there = ", ".join(sorted(facts.training.others)) or "no run"
        raise SettingsError(f"there is nothing to report: run {run} has reported no step; there are reports of {there}")
    for message in cluster.read_all(CLEAN):
        facts.documents.accept(message.value(), message.timestamp()[1], coordinate(message))
    for message in cluster.read_all(REJECTED):
        said = RejectedHeaders.decode(message.headers(), coordinate(message))
        facts.documents.reject(said, message.timestamp()[1])
    for message in cluster.read_all(WINDOWS):
        facts.windows.take(Seal.decode(message.value(), coordinate(message)))
    _count_tokens(facts, cluster)
    add_manifests(facts, cluster.settings.checkpoint_dir / run)
    return facts


def add_manifests(facts: Facts, folder: Path) -> None:
    """Add the checkpoints that lie in a run's folder; none where there is no folder on this machine."""
    facts.manifests = read_manifests(folder, Findings())
    there = {int(path.parent.name.removeprefix("step-")) for path in folder.glob(f"step-*/{MANIFEST}")}
    facts.kept = frozenset(there & {manifest.step for manifest in facts.manifests})


def _count_tokens(facts: Facts, cluster: Cluster) -> None:
    first, ends = cluster.first_offsets(BLOCKS), cluster.end_offsets(BLOCKS)
    share = ENTROPY_BLOCKS // max(1, len(ends))
    blocks = cluster.read_all(BLOCKS, newest(first, ends, share), ends)
    facts.frequencies, facts.entropy_blocks = frequencies(
        Block.decode(message.value(), coordinate(message)) for message in blocks
    )


def newest(first: Mapping[int, int], ends: Mapping[int, int], most: int) -> dict[int, int]:
    """Where the last `most` offsets of each partition begin, as far as they are still there."""
    return {partition: max(first.get(partition, 0), end - most) for partition, end in ends.items()}


def frequencies(blocks: Iterable[Block]) -> tuple[NDArray[np.int64], int]:
    """How often each token id stands in blocks, i64 [highest id + 1], and how many blocks there were."""
    found, seen = np.zeros(0, np.int64), 0
    for block in blocks:
        size = max(len(found), int(block.tokens.max()) + 1)
        found = np.pad(found, (0, size - len(found))) + np.bincount(block.tokens, minlength=size)
        seen += 1
    return found, seen
