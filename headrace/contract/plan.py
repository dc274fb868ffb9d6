"""The plan log: `train.plan`. `seq` is dense over all records; `step` counts the train records from 0."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from pydantic import Field, TypeAdapter

from headrace.contract.errors import Coordinate
from headrace.contract.record import Record, decode_with


class Run(NamedTuple):
    """All `count` records of `tokens.blocks[partition]` with first <= offset <= last (markers take offsets too).

    `digest` is the hex of `digests.run_digest` over them.
    """

    partition: int
    first: int
    last: int
    records: int
    digest: str


class Origin(Record):
    """Record 0: which cluster, topics (by id) and tokenizer every later record speaks of."""

    seq: Literal[0] = 0
    kind: Literal["origin"] = "origin"
    cluster: str
    topics: dict[str, str]
    tokenizer: str
    time: int


class Step(Record):
    """One optimizer update: the blocks in canonical order (runs by partition, offsets rising inside a run).

    `tokens_before` counts the tokens of all earlier steps; `next` is the position of every partition after this step
    (the next offset to read); `time` is epoch milliseconds.
    """

    seq: int = Field(ge=1)
    step: int = Field(ge=0)
    kind: Literal["train"] = "train"
    blocks: tuple[Run, ...] = Field(min_length=1)
    tokens: int = Field(ge=1)
    tokens_before: int = Field(ge=0)
    next: dict[int, int]
    time: int

    @property
    def block_count(self) -> int:
        return sum(run.records for run in self.blocks)


PlanRecord = Origin | Step
_PLAN: TypeAdapter[PlanRecord] = TypeAdapter(Annotated[PlanRecord, Field(discriminator="kind")])


def decode_plan(value: bytes | None, at: Coordinate) -> PlanRecord:
    """Read one record of `train.plan`; raises RecordError naming `at`."""
    return decode_with(_PLAN.validate_json, value, at)
