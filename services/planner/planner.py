"""What becomes a step: a state machine over blocks and a clock, without Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headrace.contract.digests import run_digest
from headrace.contract.plan import PlanRecord, Run, Step


@dataclass(frozen=True)
class Arrival:
    """One block as the planner sees it. `digest` is `digests.block_digest` of the record's bytes.

    `published`: when the oldest of its documents was, in epoch milliseconds; no part of the plan.
    """

    partition: int
    offset: int
    tokens: int
    digest: bytes
    published: int = 0


@dataclass(frozen=True)
class Tail:
    """Where a plan ends: seq and step of the next record, tokens planned so far, next offset of each partition."""

    seq: int = 1
    step: int = 0
    tokens: int = 0
    next: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def after(cls, record: PlanRecord) -> Tail:
        """The tail of a plan whose last record is this one."""
        if isinstance(record, Step):
            return cls(record.seq + 1, record.step + 1, record.tokens_before + record.tokens, record.next)
        return cls(seq=record.seq + 1)


class Planner:
    """Gathers blocks and closes steps. Holds at most `step_blocks` blocks; offers nothing that it has not got.

    Blocks of one partition must be added in rising offsets, from `tail.next` on. `now` is any clock in seconds that
    does not go back.
    """

    def __init__(self, step_blocks: int, linger_s: float, tail: Tail) -> None:
        self.step_blocks = step_blocks
        self.linger_s = linger_s
        self.tail = tail
        self.held: list[Arrival] = []
        self.oldest: float | None = None

    @property
    def room(self) -> int:
        """How many more blocks may be added before the step must be closed."""
        return self.step_blocks - len(self.held)

    def add(self, block: Arrival, now: float) -> None:
        """Hold one more block for the step that is being gathered."""
        assert self.room > 0, "the step is full"
        if self.oldest is None:
            self.oldest = now
        self.held.append(block)

    def due(self, now: float) -> bool:
        """Whether the step closes: it is full, or its first block has waited for `linger_s`."""
        return self.oldest is not None and (self.room == 0 or now - self.oldest >= self.linger_s)

    def close(self, time_ms: int) -> Step:
        """The next record of the plan, of all blocks held; holds none afterwards."""
        blocks = sorted(self.held, key=lambda block: (block.partition, block.offset))
        step = Step(
            seq=self.tail.seq,
            step=self.tail.step,
            blocks=tuple(_runs(blocks)),
            tokens=sum(block.tokens for block in blocks),
            tokens_before=self.tail.tokens,
            next={**self.tail.next, **{block.partition: block.offset + 1 for block in blocks}},
            time=time_ms,
        )
        self.tail = Tail.after(step)
        self.held, self.oldest = [], None
        return step


def _runs(blocks: list[Arrival]) -> Iterable[Run]:
    """One run for each partition of sorted blocks; between its ends nothing but markers was left out."""
    for partition in sorted({block.partition for block in blocks}):
        own = [block for block in blocks if block.partition == partition]
        yield Run(partition, own[0].offset, own[-1].offset, len(own), run_digest(block.digest for block in own).hex())
