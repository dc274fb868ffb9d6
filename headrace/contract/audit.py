"""One record of `audit.cuts`: up to where everything was found to hold, and all that is needed to go on from there."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from headrace.contract.digests import FED_START, block_digest
from headrace.contract.record import Record

CUT_KEY = b"newest"
"""Key of every record of `audit.cuts`: only the newest one matters, compaction frees the others."""

Exceptions = dict[int, tuple[tuple[int, int], ...]]
"""By partition: pairs of an offset, rising, and the start in seconds of its document's window (0: it has none)."""


class Counts(Record):
    """Documents before a cut. `accepted` ones are `refused` by the tokenize job or stand in blocks.

    `published`, `rejected`, `accepted` and `refused` count the documents below the positions in `text.raw`, `planned`
    those whose last token is in a step before the cut.
    """

    published: int = 0
    rejected: int = 0
    accepted: int = 0
    refused: int = 0
    planned: int = 0


class VerifiedCut(Record):
    """Positions in all logs, such that all before them holds; `headrace verify` goes on from here.

    A document is past when its place in `text.raw` is below `positions`. Then all its records are past as well: those
    below the positions of their topics, and the `skipped` ones, which lie above. `early` are the documents, by place in
    `text.raw`, that are not past and stand in blocks that are. No other record of such a document is past.
    (docs/decisions/0011-where-verify-goes-on.md says why this is enough.)

    positions  by topic and partition; absent is 0. Of `train.plan` the offset of the last record before the cut,
               which must say what `step`, `tokens` and `next` say here
    skipped    by topic: records of `text.clean`, `text.rejected` and `tokens.windows`
    latest     by partition of `text.clean` and shard: the latest window, in seconds, of what is past
    edges      the tokens that begin and end every document, None before the first
    seq, step, tokens, next, fed   the next record and step of the plan, and what a run has trained before it
    """

    cluster: str = ""
    topics: dict[str, str] = Field(default_factory=dict)
    time: int = 0
    positions: dict[str, dict[int, int]] = Field(default_factory=dict)
    skipped: dict[str, Exceptions] = Field(default_factory=dict)
    early: Exceptions = Field(default_factory=dict)
    latest: dict[int, dict[int, int]] = Field(default_factory=dict)
    edges: tuple[int | None, int | None] = (None, None)
    seq: int = 0
    step: int = 0
    tokens: int = 0
    next: dict[int, int] = Field(default_factory=dict)
    fed: str = FED_START.hex()
    counts: Counts = Counts()
    digest: str = ""

    def position(self, name: str, partition: int) -> int:
        """The next offset to read."""
        return self.positions.get(name, {}).get(partition, 0)

    def skips(self, name: str, partition: int) -> Mapping[int, int]:
        """The offsets at or above the position that are past, with their documents' windows."""
        return dict(self.skipped.get(name, {}).get(partition, ()))

    def sealed(self) -> VerifiedCut:
        """The same with its digest."""
        return self.model_copy(update={"digest": self._digest()})

    @property
    def intact(self) -> bool:
        """Whether nothing was changed since it was sealed (no defence against someone who seals it again)."""
        return self.digest == self._digest()

    def _digest(self) -> str:
        return block_digest(self.model_copy(update={"digest": ""}).encode()).hex()


BEGINNING = VerifiedCut()
"""Where `verify` begins when no cut was written: nothing is past."""
