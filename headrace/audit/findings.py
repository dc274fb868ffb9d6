"""What is wrong, by kind: how often, in how many documents, and the first examples in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

EXAMPLES = 20

StageName = Literal["clean", "tokenize", "plan", "train"]


@dataclass(frozen=True)
class Kind:
    """One way to be wrong: at which stage, whether documents are lost or duplicated by it, and what it means."""

    stage: StageName
    effect: Literal["lost", "duplicated", "wrong"]
    meaning: str


KINDS: Mapping[str, Kind] = {
    "pinned": Kind("plan", "wrong", "a topic was made again, or plan, manifest and broker speak of different clusters"),
    "deleted": Kind("clean", "wrong", "records were deleted that nothing has verified before"),
    "wrong_cut": Kind("clean", "wrong", "the verified cut that reading goes on from does not fit itself or the logs"),
    "unreadable": Kind("clean", "wrong", "a record is not what its topic holds"),
    "no_outcome": Kind("clean", "lost", "a document that the clean job has passed has no outcome"),
    "two_outcomes": Kind("clean", "duplicated", "a document has more than one outcome of stage clean"),
    "outcome_of_nothing": Kind("clean", "wrong", "an outcome names a document that is not in text.raw"),
    "not_in_blocks": Kind("tokenize", "lost", "an accepted document that the tokenize job has passed is in no block"),
    "cut_document": Kind("tokenize", "lost", "some tokens of a document are in no block"),
    "tokenized_twice": Kind("tokenize", "duplicated", "a document has more than one outcome of stage tokenize"),
    "repeated_span": Kind("tokenize", "duplicated", "some tokens of a document are in blocks more than once"),
    "wrong_span": Kind("tokenize", "wrong", "spans of one document contradict each other"),
    "span_of_nothing": Kind("tokenize", "wrong", "a document in blocks, or rejected by tokenize, is not in text.clean"),
    "block_number": Kind("tokenize", "wrong", "the blocks of a window are not numbered from 0 on"),
    "other_tokenizer": Kind("tokenize", "wrong", "a block was made with another tokenizer than the plan began with"),
    "wrong_seal": Kind("tokenize", "wrong", "a seal and the blocks of its window differ"),
    "no_seal": Kind("tokenize", "wrong", "a window of blocks has no seal, though a later one has"),
    "plan_gap": Kind("plan", "wrong", "a record of the plan does not follow the one before"),
    "plan_sums": Kind("plan", "wrong", "tokens, tokens_before or next of a plan record are not what its blocks say"),
    "wrong_run": Kind("plan", "wrong", "a run does not hold the records that it says, or not these bytes"),
    "not_planned": Kind("plan", "lost", "the plan went past a block"),
    "planned_twice": Kind("plan", "duplicated", "a block stands in the plan more than once"),
    "not_fed": Kind("train", "lost", "a planned block was not fed"),
    "fed_twice": Kind("train", "duplicated", "a block was fed more than once"),
    "wrong_fed": Kind("train", "lost", "what was fed is not what was planned"),
    "wrong_report": Kind("train", "wrong", "a report of a step contradicts the plan"),
    "step_twice": Kind("train", "duplicated", "one attempt applied a step again"),
    "other_loss": Kind("train", "wrong", "a repeated step had another loss, in canonical reduction"),
    "wrong_manifest": Kind("train", "wrong", "a manifest contradicts the plan"),
    "no_ancestry": Kind("train", "wrong", "the parents of the newest checkpoint do not lead to the run's first one"),
}


@dataclass
class Tally:
    """How often one kind occurred. `documents` counts those that it touches, where that can be known."""

    count: int = 0
    documents: int = 0
    examples: list[str] = field(default_factory=list)


class Findings:
    """All that is wrong. Keeps the first examples of each kind, counts the rest."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}

    def add(self, kind: str, text: str, documents: int = 1) -> None:
        """Note one more of `kind`, one of KINDS; `text` names the record and what is wrong with it."""
        assert kind in KINDS, kind
        tally = self.tallies.setdefault(kind, Tally())
        tally.count += 1
        tally.documents += documents
        if len(tally.examples) < EXAMPLES:
            tally.examples.append(text)

    def documents(self, effect: str, stage: StageName | None = None) -> int:
        """Documents that are lost or duplicated, at one stage or in all."""
        return sum(
            tally.documents
            for kind, tally in self.tallies.items()
            if KINDS[kind].effect == effect and stage in (None, KINDS[kind].stage)
        )

    def __bool__(self) -> bool:
        return bool(self.tallies)


@dataclass
class Stage:
    """One row of the table, in documents. What entered has left, is in flight, or is lost."""

    name: StageName
    entered: int = 0
    left: int = 0
    in_flight: int = 0
