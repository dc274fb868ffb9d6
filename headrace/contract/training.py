"""What trainers say: one report a step, one manifest a checkpoint, its announcement; and what operators tell them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from headrace.contract.errors import Coordinate
from headrace.contract.record import Record, decode_with

MAIN_RUN = "main"
"""The main run until another one is promoted: the planner waits for it, and commands mean it where none is named."""
MANIFEST = "manifest.json"


class StepReport(Record):
    """One record of `train.steps`: run `run` applied step `step` (plan record `seq`) in attempt `attempt`.

    `fed` is the hex of `digests.fed_next` over the bytes that were fed; loss in nats a token; `seconds` by part of the
    step; `sources` maps a source to [tokens, summed loss]; `age_s` is the age of the oldest text, from its publishing;
    `save_error` says why the last checkpoint could not be written, until one can.
    """

    kind: Literal["step"] = "step"
    run: str
    attempt: str
    seq: int
    step: int
    fed: str
    loss: float
    tokens: int
    tokens_total: int
    grad_norm: float
    learning_rate: float
    skipped: bool
    seconds: dict[str, float]
    age_s: float
    sources: dict[str, tuple[int, float]]
    ranks: int
    time: int
    save_error: str = ""


class IdleReport(Record):
    """Every 10 s while nothing is to do: `seq` and `step` are the next ones, `fed` as of now."""

    kind: Literal["idle"] = "idle"
    run: str
    attempt: str
    seq: int
    step: int
    fed: str
    time: int
    save_error: str = ""


Report = StepReport | IdleReport
_REPORT: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])


def decode_report(value: bytes | None, at: Coordinate) -> Report:
    """Read one record of `train.steps`; raises RecordError naming `at`."""
    return decode_with(_REPORT.validate_json, value, at)


class CheckpointFile(Record):
    """One file of a checkpoint, beside the manifest."""

    name: str
    bytes: int
    sha256: str


class Manifest(Record):
    """Written last, in one atomic move; without it a checkpoint does not count.

    `seq` and `step` are the next ones to train, so the first checkpoint of a run has step 0. `tokens` counts all that
    were trained. `weights` is the sha256 of all parameters in order. `parent` names the checkpoint that this attempt
    started from or wrote before; the first has none, or RUN/CHECKPOINT if it is a copy of another run's.
    """

    run: str
    attempt: str
    seq: int
    step: int
    tokens: int
    fed: str
    parent: str | None
    cluster: str
    topics: dict[str, str]
    tokenizer: str
    weights: str
    fingerprint: dict[str, str]
    settings: dict[str, Any]
    files: tuple[CheckpointFile, ...]
    time: int


class Replayed(Record):
    """One line of what `trainer.replay` prints: it has trained up to `step`, the next one to train.

    `weights` (sha256 of all parameters in order, as in a manifest) and `fingerprint` stand in the last line alone.
    """

    step: int
    fed: str
    weights: str = ""
    fingerprint: dict[str, str] = Field(default_factory=dict)


def announcement_key(run: str, step: int) -> str:
    """The key under which a checkpoint is announced."""
    return f"{run}/{step}"


class CheckpointAnnouncement(Record):
    """One record of `train.checkpoints`, key `run/step`; no value once the weights were pruned.

    A trainer that starts says anew what is there.
    """

    run: str
    attempt: str
    seq: int
    step: int
    path: str
    bytes: int
    time: int

    @property
    def key(self) -> str:
        return announcement_key(self.run, self.step)


class Command(Record):
    """One record of `train.control`, key `run/id`: when a run saves or halts, never what it learns.

    The run that was promoted last is the main one.
    """

    run: str
    id: str
    command: Literal["checkpoint", "stop", "resume", "promote"]
    time: int

    @property
    def key(self) -> str:
        return f"{self.run}/{self.id}"
