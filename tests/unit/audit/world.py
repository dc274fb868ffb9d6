"""A small correct set of all logs, made step by step, so that a test can break it in one place.

    World.whole()           # all of it: publish, clean, pack, seal, plan_steps, train
    World.until_clean()     # published and cleaned; go on with pack() and finish()

A list of a partition is its log: the index is the offset, None is a marker or a record of an aborted transaction. As
on a broker, one None ends a transaction, and two more are an aborted one of one record, so `transactions` can write it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from headrace.audit.cut import READ, Cut
from headrace.audit.findings import Findings
from headrace.audit.report import Report as Verdict
from headrace.audit.verify import verify
from headrace.contract.audit import BEGINNING, VerifiedCut
from headrace.contract.digests import FED_START, block_digest, fed_next, shard_of
from headrace.contract.documents import RejectedHeaders
from headrace.contract.plan import Origin, PlanRecord, Step
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, CLEAN, PLAN, RAW, REJECTED, STEPS, WINDOWS
from headrace.contract.training import IdleReport, Manifest, Report
from services.planner.planner import Arrival, Planner, Tail
from tests.unit.audit.pieces import (
    RUN,
    SHARDS,
    START_MS,
    TOKENIZER,
    TOPIC_IDS,
    WINDOW_MS,
    Log,
    Packed,
    Raw,
    Record,
    accepted,
    all_of,
    cut_into_blocks,
    encoded,
    manifest_of,
    mark,
    report_of,
    seal_of,
    tokenize_rejects,
)

Feed = Callable[[Step, list[bytes]], list[bytes]]


@dataclass(frozen=True)
class MemoryLogs:
    """Logs of lists."""

    cut: Cut
    records: dict[str, dict[int, list[Record]]]

    def read(self, name: str, partition: int) -> Iterator[Record]:
        begin = self.cut.begin(name, partition)
        return (record for record in self.records[name][partition] if record.at >= begin)

    def again(self, name: str, partition: int, first: int, last: int) -> Iterator[Record]:
        return (
            record
            for record in self.records[name].get(partition, [])
            if max(first, self.cut.first[name].get(partition, 0)) <= record.at <= last
        )


@dataclass
class World:
    """Two partitions a log. `passed` is what the jobs have committed; None: all that there is."""

    documents: int = 84
    tokenizer: str = TOKENIZER
    raw: dict[int, Log] = field(default_factory=lambda: {0: [], 1: []})
    clean_log: dict[int, Log] = field(default_factory=lambda: {0: [], 1: []})
    rejected: dict[int, Log] = field(default_factory=lambda: {0: [], 1: []})
    blocks: dict[int, Log] = field(default_factory=lambda: {0: [], 1: []})
    windows: Log = field(default_factory=list)
    plan: Log = field(default_factory=list)
    steps: Log = field(default_factory=list)
    manifests: list[Manifest] = field(default_factory=list)
    passed: dict[str, dict[int, int]] | None = None
    first: dict[str, dict[int, int]] = field(default_factory=dict)

    @classmethod
    def whole(cls) -> World:
        world = cls.until_clean()
        world.pack()
        return world.finish()

    @classmethod
    def until_clean(cls) -> World:
        world = cls()
        world.publish()
        world.clean()
        return world

    def publish(self) -> None:
        """Documents to both partitions in turn, now and then a marker."""
        for number in range(self.documents):
            log = self.raw[number % 2]
            log.append(f"document {number}".encode())
            if number % 20 == 7:
                mark(log, aborted=number > 30)

    def published(self) -> list[Raw]:
        """Raw coordinates, oldest first."""
        places = [(part, at) for part, log in self.raw.items() for at, value in enumerate(log) if value is not None]
        return sorted(places, key=lambda place: int(self.raw[place[0]][place[1]].split()[1]))

    def clean(self) -> None:
        """Every seventh document is rejected; ten outcomes a transaction."""
        for number, raw in enumerate(self.published()):
            if number % 7 == 3:
                self.rejected[number % 2].append(RejectedHeaders("empty", "clean", "", raw))
            else:
                self.clean_log[raw[1] % 2].append(accepted(raw))
            if number % 10 == 9:
                for log in (*self.clean_log.values(), *self.rejected.values()):
                    mark(log, aborted=number == 39)

    def accepted(self) -> list[Raw]:
        """Raw coordinates of accepted documents, each partition of text.clean in its order."""
        longest = max(map(len, self.clean_log.values()))
        logs = [log + [None] * (longest - len(log)) for log in self.clean_log.values()]
        return [document.raw for pair in zip(*logs, strict=True) for document in pair if document is not None]

    def in_blocks(self) -> list[Raw]:
        """Those of the accepted that tokenize does not reject."""
        return [raw for number, raw in enumerate(self.accepted()) if not tokenize_rejects(number)]

    def pack(self, leave_out: Sequence[Raw] = (), keep: Callable[[Raw], list[int]] | None = None) -> None:
        """Twelve documents a window; every fifteenth is rejected by tokenize.

        `leave_out` are lost on the way; of others `keep` says which tokens (their numbers) come through: all.
        """
        everything = self.accepted()
        for first in range(0, len(everything), 12):
            window = START_MS + WINDOW_MS * (first // 12)
            shards: dict[int, list[Raw]] = {shard: [] for shard in range(SHARDS)}
            for number, raw in enumerate(everything[first : first + 12], first):
                if tokenize_rejects(number):
                    self.rejected[0].append(RejectedHeaders("no_tokens", "tokenize", "", raw))
                elif raw not in leave_out:
                    shards[shard_of(*raw, SHARDS)].append(raw)
            for shard, documents in shards.items():
                self.blocks[shard % 2] += [
                    Packed.of(dataclasses.replace(block, tokenizer=self.tokenizer))
                    for block in cut_into_blocks(documents, window, shard, keep or all_of)
                ]
            for log in self.blocks.values():
                mark(log, aborted=first == 24)

    def seal(self) -> None:
        """One seal for each window of each shard that has blocks; a window that comes again has another."""
        groups: dict[tuple[int, int], list[list[Packed]]] = {}
        for packed in (packed for log in self.blocks.values() for packed in log if packed):
            found = groups.setdefault((packed.block.window, packed.block.shard), [])
            if packed.block.number == 0 or not found:
                found.append([])
            found[-1].append(packed)
        self.windows = [seal_of(group) for key in sorted(groups) for group in groups[key]]

    def plan_steps(self, step_blocks: int = 5) -> None:
        """Plan all blocks, as they would come from both partitions in turn."""
        planner = Planner(step_blocks, 2.0, Tail())
        self.plan = [Origin(cluster="c", topics=TOPIC_IDS, tokenizer=self.tokenizer, time=0), None]
        places = [(at, part) for part, log in self.blocks.items() for at, packed in enumerate(log) if packed]
        for number, (at, part) in enumerate(sorted(places), 1):
            block, value = self.blocks[part][at]
            planner.add(Arrival(part, at, len(block.tokens), block_digest(value)), 0.0)
            if planner.room == 0 or number == len(places):
                self.plan += [planner.close(number), None]

    def planned(self) -> list[Step]:
        return [record for record in self.plan if isinstance(record, Step)]

    def digests(self, step: Step) -> list[bytes]:
        """Of the step's blocks in order."""
        return [
            block_digest(packed.value)
            for run in step.blocks
            for packed in self.blocks[run.partition][run.first : run.last + 1]
            if packed
        ]

    def train(self, feed: Feed = lambda step, digests: digests, save_every: int = 4) -> None:
        """Attempt a dies in the middle; attempt b goes on from its last checkpoint, to the end, and is idle then.

        `feed` is what the trainer feeds: the digests of the blocks of a step, as planned unless it is broken.
        """
        steps = self.planned()
        middle = len(steps) // 2 // save_every * save_every + 2
        self._attempt("a", steps[:middle], feed, save_every)
        position = self.manifests[-1].step
        assert 0 < position < middle, "the second attempt repeats steps"
        self._attempt("b", steps[position:], feed, save_every)
        last = self.steps[-1]
        facts = {"attempt": "b", "seq": last.seq + 1, "step": last.step + 1, "fed": last.fed, "time": 0}
        self.steps.append(IdleReport(run=RUN, **facts))
        if self.manifests[-1].step != last.step + 1:
            self._save("b", last.seq + 1, last.step + 1, last.tokens_total, bytes.fromhex(last.fed))

    def _attempt(self, attempt: str, steps: list[Step], feed: Feed, save_every: int) -> None:
        fed = bytes.fromhex(self.manifests[-1].fed) if self.manifests else FED_START
        if not self.manifests:
            self._save(attempt, 1, 0, 0, fed)
        for step in steps:
            fed = fed_next(fed, step.seq, feed(step, self.digests(step)))
            self.steps.append(report_of(step, attempt, fed))
            if (step.step + 1) % save_every == 0:
                self._save(attempt, step.seq + 1, step.step + 1, step.tokens_before + step.tokens, fed)

    def _save(self, attempt: str, seq: int, step: int, tokens: int, fed: bytes) -> None:
        parent = f"step-{self.manifests[-1].step:010d}" if self.manifests else None
        self.manifests.append(manifest_of(attempt, seq, step, tokens, fed, parent))

    def logs(self, start: VerifiedCut = BEGINNING) -> MemoryLogs:
        """As the checks read them."""
        everything = {
            STEPS: {0: self.steps},
            PLAN: {0: self.plan},
            WINDOWS: {0: self.windows},
            BLOCKS: self.blocks,
            REJECTED: self.rejected,
            CLEAN: self.clean_log,
            RAW: self.raw,
        }
        ends = {name: {part: len(log) for part, log in logs.items()} for name, logs in everything.items()}
        firsts = {name: {part: self.first.get(name, {}).get(part, 0) for part in ends[name]} for name in READ}
        records = {name: {part: list(encoded(log)) for part, log in logs.items()} for name, logs in everything.items()}
        passed = self.passed or {RAW: ends[RAW], CLEAN: ends[CLEAN]}
        return MemoryLogs(Cut(passed, firsts, ends, start), records)

    def finish(self) -> World:
        """The stages behind the blocks, as they are."""
        for make in (self.seal, self.plan_steps, self.train):
            make()
        return self

    def verify(self, start: VerifiedCut = BEGINNING) -> Verdict:
        return verify(self.logs(start), self.manifests, RUN, Settings(), Findings())[0]


def replan(plan: Log, step: int, **changes: Any) -> Log:
    """The plan with some fields of one step changed."""

    def change(record: PlanRecord | None) -> PlanRecord | None:
        same = isinstance(record, Step) and record.step == step
        return record.model_copy(update=changes) if same and record is not None else record

    return [change(record) for record in plan]


def change_report(reports: Log, index: int, **changes: Any) -> None:
    """Change some fields of one report."""
    report: Report = reports[index]
    reports[index] = report.model_copy(update=changes)
