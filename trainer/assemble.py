"""From records as they come to steps with their blocks: a state machine over plan and blocks, without Kafka.

Plan records must be given in order, and blocks of one partition in order, from the offsets in `starts` on.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import xxhash

from headrace.contract.errors import ContractError, Coordinate, RecordError
from headrace.contract.plan import Origin, Run, Step, decode_plan
from headrace.contract.topics import BLOCKS, PLAN
from trainer.proof import Fetched
from trainer.shares import blocks_of, leaf_count, leaves_of


@dataclass(frozen=True)
class Work:
    """One step, the hash of its plan record's bytes, and this rank's blocks of it in order."""

    step: Step
    digest: bytes
    blocks: tuple[Fetched, ...]


@dataclass(frozen=True)
class Pins:
    """Which data a run is trained on; the plan's origin must say the same."""

    cluster: str
    topics: Mapping[str, str]
    tokenizer: str


@dataclass(frozen=True)
class Position:
    """The next record of the plan to train: its seq and step, and the tokens of all steps before it."""

    seq: int
    step: int
    tokens: int


@dataclass(frozen=True)
class Share:
    """Which blocks of a step a rank keeps."""

    rank: int
    ranks: int
    leaf_blocks: int

    def of(self, blocks: int) -> range:
        """Places in the step of this rank's blocks."""
        leaves = leaves_of(self.rank, self.ranks, leaf_count(blocks, self.leaf_blocks))
        return blocks_of(leaves, self.leaf_blocks, blocks)


class Assembler:
    """Keeps this rank's blocks of planned steps, and blocks that no step has claimed yet; everything else goes."""

    def __init__(self, position: Position, share: Share, pins: Pins) -> None:
        self.position = position
        self.share = share
        self.pins = pins
        self.starts: dict[int, int] | None = None
        """Where each partition of blocks begins for this run; None until the record before `position` was seen."""
        self.steps: deque[tuple[Step, bytes]] = deque()
        self.waiting: dict[int, deque[Fetched]] = defaultdict(deque)
        self.waiting_bytes: dict[int, int] = defaultdict(int)
        self.expected = position
        self._run, self._found, self._place = 0, 0, 0
        self._kept: list[Fetched] = []

    def add_plan(self, at: Coordinate, value: bytes | None) -> None:
        """Take the next record of the plan. Raises RecordError, or ContractError where it contradicts the run."""
        record = decode_plan(value, at)
        if isinstance(record, Origin):
            self._check_origin(record)
        if record.seq < self.position.seq - 1:
            return
        if self.starts is None:
            self._begin(record, at)
        elif isinstance(record, Step):
            self._check_follows(record, at)
            self.steps.append((record, xxhash.xxh3_128_digest(value or b"")))

    def add_block(self, fetched: Fetched) -> None:
        """Take the next block of its partition."""
        partition = fetched.at.partition
        self.waiting[partition].append(fetched)
        self.waiting_bytes[partition] += len(fetched.value)

    def ready(self) -> Iterator[Work]:
        """Steps whose blocks are all here, each once, in order. Raises ContractError where plan and blocks differ."""
        while self.steps and self._complete(self.steps[0][0]):
            step, digest = self.steps.popleft()
            yield Work(step, digest, tuple(self._kept))
            self._run, self._found, self._place, self._kept = 0, 0, 0, []

    def missing(self) -> str:
        """What the oldest step still waits for."""
        step = self.steps[0][0]
        run = step.blocks[self._run]
        return (
            f"step {step.step} waits for {run.records - self._found} of the {run.records} blocks"
            f" {run.first} to {run.last} of partition {run.partition} of {BLOCKS}"
        )

    def _check_origin(self, origin: Origin) -> None:
        for name in ("cluster", "tokenizer"):
            if (said := getattr(origin, name)) != (ours := getattr(self.pins, name)):
                raise ContractError(f"{PLAN} was made for {name} {said}, this run is of {ours}")
        for topic, said in origin.topics.items():
            if topic in self.pins.topics and self.pins.topics[topic] != said:
                raise ContractError(f"{PLAN} speaks of {topic} with id {said}, this run of {self.pins.topics[topic]}")

    def _begin(self, record: Origin | Step, at: Coordinate) -> None:
        """Meet the record before the first one to train; from it on blocks are read."""
        if record.seq != self.position.seq - 1:
            raise RecordError(
                at, f"has seq {record.seq}, the record before it was expected: seq {self.position.seq - 1}"
            )
        step, tokens = (record.step + 1, record.tokens_before + record.tokens) if isinstance(record, Step) else (0, 0)
        if (step, tokens) != (self.position.step, self.position.tokens):
            raise RecordError(
                at,
                f"is followed by step {step} after {tokens} tokens, the checkpoint by step {self.position.step}"
                f" after {self.position.tokens}: they are not of one plan",
            )
        self.starts = dict(record.next) if isinstance(record, Step) else {}

    def _check_follows(self, step: Step, at: Coordinate) -> None:
        said, due = Position(step.seq, step.step, step.tokens_before), self.expected
        if said != due:
            raise RecordError(at, f"is {said}, due is {due}: the plan has a gap")
        self.expected = Position(step.seq + 1, step.step + 1, step.tokens_before + step.tokens)

    def _complete(self, step: Step) -> bool:
        """Move what is here of a step's blocks to it; whether that is all."""
        mine = self.share.of(step.block_count)
        while self._run < len(step.blocks):
            run = step.blocks[self._run]
            queue = self.waiting[run.partition]
            while self._found < run.records:
                if not queue:
                    return False
                fetched = queue.popleft()
                self.waiting_bytes[run.partition] -= len(fetched.value)
                _check_in_run(fetched.at, run, step, self._found)
                if self._place in mine:
                    self._kept.append(fetched)
                self._found, self._place = self._found + 1, self._place + 1
            self._run, self._found = self._run + 1, 0
        return True


def _check_in_run(at: Coordinate, run: Run, step: Step, found: int) -> None:
    if at.offset < run.first:
        raise RecordError(at, f"stands in no step: step {step.step} begins at {run.first}, all before it were trained")
    if at.offset > run.last:
        raise RecordError(
            at, f"comes after {found} blocks, step {step.step} says {run.records} from {run.first} to {run.last}"
        )
