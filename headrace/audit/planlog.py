"""Promise 3: every block stands in `train.plan` exactly once, and the plan says of its blocks what they are."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from headrace.audit.blockview import BlockView
from headrace.audit.findings import Findings, Stage
from headrace.audit.logs import Message
from headrace.contract.audit import VerifiedCut
from headrace.contract.digests import fed_next, run_digest
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.plan import Origin, PlanRecord, Run, Step, decode_plan
from headrace.contract.topics import BLOCKS, PLAN

Again = Callable[[int, int, int], Iterator[BlockView]]
"""(partition, first, last) to the blocks with first <= offset <= last, read once more."""


class Place(NamedTuple):
    """Between two steps: seq and step of the next record, tokens so far, hex of `fed` so far."""

    seq: int
    step: int
    tokens: int
    fed: str


class Planned:
    """What each run must do from `start` on: for each step its seq, tokens so far, documents, `fed`, in 48 bytes."""

    def __init__(self, start: VerifiedCut) -> None:
        self.start = Place(max(1, start.seq), start.step, start.tokens, start.fed)
        self.origin: Origin | None = None
        self.steps, self.seqs, self.tokens, self.documents = (array("q") for _ in range(4))
        self.fed = bytearray()

    def add(self, step: Step, documents: int, digests: Iterable[bytes]) -> None:
        """Add a step later than all before; `digests` of its blocks in the plan's order."""
        self.fed += fed_next(self.fed_after(len(self.steps)), step.seq, digests)
        self.steps.append(step.step)
        self.seqs.append(step.seq)
        self.tokens.append(step.tokens_before + step.tokens)
        self.documents.append(documents)

    def find(self, step: int) -> int | None:
        """The index of a step; None if the plan has none of that number."""
        index = bisect_left(self.steps, step)
        return index if index < len(self.steps) and self.steps[index] == step else None

    def fed_after(self, count: int) -> bytes:
        """`fed` after the first `count` steps."""
        return bytes(self.fed[16 * count - 16 : 16 * count]) if count else bytes.fromhex(self.start.fed)

    def place(self, step: int) -> Place | None:
        """Where `step` is the next one; None if the plan has no step before it, or if that is past."""
        if step == self.start.step:
            return self.start
        index = self.find(step - 1)
        if index is None:
            return None
        return Place(self.seqs[index] + 1, step, self.tokens[index], self.fed_after(index + 1).hex())


class BlockLog:
    """The blocks of one partition, each taken once, in order. `position` is the next offset to take."""

    def __init__(self, blocks: Iterator[BlockView], position: int = 0) -> None:
        self.blocks = blocks
        self.ahead: BlockView | None = None
        self.position = position

    def until(self, offset: int) -> Iterator[BlockView]:
        """Take the blocks below `offset`."""
        while True:
            self.ahead = self.ahead or next(self.blocks, None)
            if self.ahead is None or self.ahead.offset >= offset:
                return
            block, self.ahead = self.ahead, None
            self.position = block.offset + 1
            yield block

    def rest(self) -> Iterator[BlockView]:
        """Take all that is left."""
        if self.ahead is not None:
            yield self.ahead
        yield from self.blocks


def decode_records(messages: Iterable[Message], findings: Findings) -> Iterator[tuple[Coordinate, PlanRecord]]:
    """Each record of the plan; one that cannot be read is named and left out."""
    for message in messages:
        at = Coordinate(PLAN, 0, message.offset())
        try:
            yield at, decode_plan(message.value(), at)
        except RecordError as error:
            findings.add("unreadable", str(error))


class PlanCheck:
    """Walks the plan and takes its blocks from their logs on the way: both are read once, in order.

    A run that begins below what was taken is planned twice; its blocks are read `again`. Blocks that a run skips are
    not planned. What is left at the end is in flight. What stands before `start` is past, and not taken.
    """

    def __init__(self, logs: Mapping[int, BlockLog], again: Again, start: VerifiedCut, findings: Findings) -> None:
        self.logs = logs
        self.again = again
        self.findings = findings
        self.planned = Planned(start)
        self.stage = Stage("plan")
        self.seq, self.step, self.tokens = start.seq, start.step, start.tokens
        self.next = {partition: offset for partition, offset in start.next.items() if offset}

    def walk(self, plan: Iterable[tuple[Coordinate, PlanRecord]]) -> tuple[Planned, Stage]:
        """Check the whole plan."""
        for at, record in plan:
            self._check_place(at, record)
            if isinstance(record, Step):
                self._check_step(at, record)
            elif record.seq == 0 and self.planned.origin is None:
                self.planned.origin = record
        for log in self.logs.values():
            self.stage.in_flight += sum(self._enter(block) for block in log.rest())
        return self.planned, self.stage

    def _enter(self, block: BlockView) -> int:
        """Note a block that is taken for the first time; the documents that end in it."""
        origin = self.planned.origin
        if origin is not None and block.shard >= 0 and block.tokenizer != origin.tokenizer:
            where = Coordinate(BLOCKS, block.partition, block.offset)
            text = f"{where} was made with tokenizer {block.tokenizer}, the plan began with {origin.tokenizer}"
            self.findings.add("other_tokenizer", text, len(block.spans))
        self.stage.entered += block.ending
        return block.ending

    def _check_place(self, at: Coordinate, record: PlanRecord) -> None:
        """seq is dense over all records, step over the steps, the origin comes first."""
        if record.seq != self.seq:
            self.findings.add("plan_gap", f"{at} has seq {record.seq}, {self.seq} comes next")
        if (record.seq == 0) != isinstance(record, Origin):
            self.findings.add("plan_gap", f"{at} has seq {record.seq} and is of kind {record.kind}")
        if isinstance(record, Step) and record.step != self.step:
            self.findings.add("plan_gap", f"{at} is step {record.step}, {self.step} comes next")
        self.seq = record.seq + 1

    def _check_step(self, at: Coordinate, step: Step) -> None:
        taken = [self._take(at, step, run) for run in step.blocks]
        blocks = list(chain.from_iterable(taken))
        self._check_sums(at, step, sum(block.tokens for block in blocks))
        if not self.planned.steps or step.step > self.planned.steps[-1]:
            documents = sum(block.ending for block in blocks)
            self.planned.add(step, documents, [block.digest for block in blocks])
        self.step = step.step + 1

    def _take(self, at: Coordinate, step: Step, run: Run) -> list[BlockView]:
        """The blocks of a run, whatever is wrong with it."""
        if (log := self.logs.get(run.partition)) is None:
            self.findings.add("wrong_run", f"{at}, step {step.step}: {BLOCKS} has no partition {run.partition}")
            return []
        for block in log.until(run.first):
            self._enter(block)
            where = Coordinate(BLOCKS, block.partition, block.offset)
            self.findings.add("not_planned", f"{at}, step {step.step}, goes past {where}", len(block.spans))
        twice = list(self._repeated(at, step, run, log))
        once = list(log.until(run.last + 1))
        self.stage.left += sum(self._enter(block) for block in once)
        self._check_run(at, step, run, twice + once)
        return twice + once

    def _repeated(self, at: Coordinate, step: Step, run: Run, log: BlockLog) -> Iterator[BlockView]:
        """The blocks of a run that were taken before."""
        if run.first < log.position:
            for block in self.again(run.partition, run.first, min(run.last, log.position - 1)):
                where = Coordinate(BLOCKS, block.partition, block.offset)
                text = f"{where} stands in the plan before {at}, step {step.step}, and again there"
                self.findings.add("planned_twice", text, len(block.spans))
                yield block

    def _check_run(self, at: Coordinate, step: Step, run: Run, blocks: list[BlockView]) -> None:
        digest = run_digest(block.digest for block in blocks).hex()
        ends = (blocks[0].offset, blocks[-1].offset) if blocks else (None, None)
        if len(blocks) != run.records or ends != (run.first, run.last):
            self.findings.add(
                "wrong_run",
                f"{at}, step {step.step}, names {run.records} records of partition {run.partition} from {run.first} to"
                f" {run.last}; there are {len(blocks)}, from {ends[0]} to {ends[1]}",
            )
        elif digest != run.digest:
            text = f"{at}, step {step.step}: the run from {Coordinate(BLOCKS, run.partition, run.first)}"
            self.findings.add("wrong_run", f"{text} has digest {run.digest}, its blocks have {digest}")

    def _check_sums(self, at: Coordinate, step: Step, tokens: int) -> None:
        where = f"{at}, step {step.step}"
        if step.tokens != tokens:
            self.findings.add("plan_sums", f"{where}: tokens {step.tokens}, its blocks have {tokens}")
        if step.tokens_before != self.tokens:
            self.findings.add("plan_sums", f"{where}: tokens_before {step.tokens_before}, before it were {self.tokens}")
        order = [run.partition for run in step.blocks]
        if order != sorted(set(order)):
            self.findings.add("wrong_run", f"{where}: runs of partitions {order}, not one for each in order")
        self.next |= {run.partition: run.last + 1 for run in step.blocks}
        said = {partition: offset for partition, offset in step.next.items() if offset or partition in self.next}
        if said != self.next:
            self.findings.add("plan_sums", f"{where}: next {said}, its runs lead to {self.next}")
            self.next = said
        self.tokens = step.tokens_before + step.tokens
