"""Promise 2, seen from the blocks: the spans of a document are all its tokens, each once, in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from headrace.audit.blockview import BlockView, Span
from headrace.audit.findings import Findings
from headrace.audit.outcomes import Ledger, Raw, note_tokenized
from headrace.contract.errors import Coordinate
from headrace.contract.topics import BLOCKS, RAW


@dataclass(slots=True)
class Document:
    """A document whose last token has not come yet: the next token, the one before it, and how many there are."""

    next: int
    last: int
    total: int


@dataclass(slots=True)
class Group:
    """The blocks of one (window, shard), as far as they have come. Documents never reach beyond their group."""

    first: Coordinate
    window: int
    shard: int
    digests: list[bytes] = field(default_factory=list)
    tokens: int = 0
    documents: int = 0
    finished: list[Raw] = field(default_factory=list)
    open: dict[Raw, Document] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"window {self.window} of shard {self.shard}, whose blocks begin at {self.first}"


class SpanCheck:
    """Follows each document from its first span to its last. Memory: documents that are open, and broken ones.

    `edges`: the tokens that begin and end every document, as far as they are known.
    """

    def __init__(self, ledger: Ledger, findings: Findings, edges: tuple[int | None, int | None]) -> None:
        self.ledger = ledger
        self.findings = findings
        self.broken: set[Raw] = set()
        self.begin, self.end = edges

    def add(self, group: Group, block: BlockView) -> None:
        """Take the spans of the group's next block."""
        at = Coordinate(BLOCKS, block.partition, block.offset)
        for span in block.spans:
            raw, start, length, total, before, last = span
            group.documents += start == 0
            if raw in self.broken:
                continue
            # what _take does with a whole document that is as it should be, without its detours
            as_it_should_be = length == total and before == self.begin and last == self.end and raw not in group.open
            if as_it_should_be and self.ledger.tokenized.first_one(raw):
                group.finished.append(raw)
            else:
                self._take(group, span, at)

    def close(self, group: Group) -> None:
        """The group is complete: a document that is still open was cut."""
        for raw, document in list(group.open.items()):
            self._cut(group, raw, f"ends after {document.next} of {document.total} tokens; {group}")

    def _take(self, group: Group, span: Span, at: Coordinate) -> None:
        document = group.open.get(span.raw)
        expected = document.next if document else 0
        seen = document is not None or self.ledger.tokenized.noted(span.raw) > 0
        if span.start < expected or (span.start > 0 and document is None and seen):
            self.findings.add("repeated_span", f"{_tokens(span)} come again at {at}")
        elif span.start > expected:
            self._cut(group, span.raw, f"{at} goes on at token {span.start}, token {expected} was the next")
        else:
            self._compare(span, document, at)
            group.open[span.raw] = Document(span.start + span.length, span.last, span.total)
            if span.start + span.length == span.total:
                self._finish(group, span, at)

    def _compare(self, span: Span, document: Document | None, at: Coordinate) -> None:
        """The token before a span: begin-of-text, the same for all, or the last one of the span before."""
        if self.begin is None and document is None:
            self.begin = span.before
        before = document.last if document else self.begin
        if span.before != before:
            self.findings.add("wrong_span", f"{_tokens(span)} at {at} come after {span.before}, not after {before}")
        if document and span.total != document.total:
            self.findings.add("wrong_span", f"{_tokens(span)} at {at} are of {span.total}, before of {document.total}")

    def _finish(self, group: Group, span: Span, at: Coordinate) -> None:
        """All tokens have come; the last one is end-of-text, the same for all."""
        if self.end is None:
            self.end = span.last
        if span.last != self.end:
            self.findings.add("wrong_span", f"{_tokens(span)} at {at} end in {span.last}, others in {self.end}")
        note_tokenized(self.ledger, span.raw, at, self.findings)
        del group.open[span.raw]
        group.finished.append(span.raw)

    def _cut(self, group: Group, raw: Raw, how: str) -> None:
        """Name it once, and count it as an outcome, so that it is not missed a second time."""
        self.findings.add("cut_document", f"{Coordinate(RAW, *raw)}: {how}")
        self.ledger.tokenized.note(raw)
        self.broken.add(raw)
        group.open.pop(raw, None)
        group.finished.append(raw)


def _tokens(span: Span) -> str:
    return f"tokens {span.start} to {span.start + span.length} of {Coordinate(RAW, *span.raw)}"
