"""The records of a small world: documents, blocks, seals, reports and manifests that fit each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from reports import step_report

from headrace.contract.blocks import Block, Seal
from headrace.contract.digests import block_digest, run_digest
from headrace.contract.documents import CleanDocument, RejectedHeaders
from headrace.contract.plan import Step
from headrace.contract.topics import PINNED
from headrace.contract.training import Manifest, StepReport

RUN = "main"
TOKENIZER = "t" * 64
TOPIC_IDS = {name: f"id-of-{name}" for name in PINNED}
START_MS = 1_700_000_000_000
WINDOW_MS = 2_000
BEGIN = END = 0
SHARDS = 4
BLOCK_TOKENS = 16


Raw = tuple[int, int]
Log = list[Any]


@dataclass(frozen=True)
class Record:
    """A record as a check sees it."""

    at: int
    content: bytes | None
    head: list[tuple[str, bytes | None]] | None = None

    def offset(self) -> int:
        return self.at

    def value(self) -> bytes | None:
        return self.content

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return self.head


class Packed(NamedTuple):
    """A block with its bytes: encoding the same block again may order its metadata otherwise."""

    block: Block
    value: bytes

    @classmethod
    def of(cls, block: Block) -> Packed:
        return cls(block, block.encode())


def tokenize_rejects(number: int) -> bool:
    return number % 15 == 8


def tokens_of(raw: Raw) -> list[int]:
    """The tokens of a document: some fit one block, some take four."""
    return [1 + (raw[1] + at) % 200 for at in range(2 + (raw[0] * 17 + raw[1] * 5) % 50)] + [END]


def mark(log: Log, aborted: bool = False) -> None:
    """End the transaction that wrote the log's last record; perhaps one that is aborted follows."""
    if log and log[-1] is not None:
        log += [None] * (3 if aborted else 1)


def transactions(log: Log) -> Iterator[Log]:
    """The records of each committed transaction that makes this log; an empty one stands for an aborted one."""
    records: Log = []
    nothing = 0
    for content in [*log, None]:
        if content is not None:
            records.append(content)
        elif records:
            yield records
            records, nothing = [], 0
        else:
            nothing += 1
            if nothing % 2 == 0:
                yield []


def encoded(log: Log) -> Iterator[Record]:
    """The visible records of a log; bytes stand for themselves."""
    for offset, content in enumerate(log):
        if isinstance(content, RejectedHeaders):
            yield Record(offset, None, list(content.encode().items()))
        elif isinstance(content, Packed):
            yield Record(offset, content.value)
        elif content is not None:
            yield Record(offset, content if isinstance(content, bytes) else content.encode())


def accepted(raw: Raw) -> CleanDocument:
    text = f"text of {raw}"
    return CleanDocument(raw=raw, id=None, source="s", time=0, language=None, text=text, label=None)


def all_of(raw: Raw) -> list[int]:
    return list(range(len(tokens_of(raw))))


def cut_into_blocks(
    documents: Sequence[Raw], window: int, shard: int, keep: Callable[[Raw], list[int]] = all_of
) -> list[Block]:
    """The kept tokens of the documents end to end, a block every BLOCK_TOKENS tokens."""
    stream = [(raw, at) for raw in documents for at in keep(raw)]
    pieces = [stream[first : first + BLOCK_TOKENS] for first in range(0, len(stream), BLOCK_TOKENS)]
    return [block_of(piece, window, shard, number) for number, piece in enumerate(pieces)]


def block_of(piece: list[tuple[Raw, int]], window: int, shard: int, number: int) -> Block:
    """A block of tokens, each as (document, number of the token in it); a span is as long as the numbers rise by 1."""
    starts = [at for at, (raw, token) in enumerate(piece) if at == 0 or piece[at - 1] != (raw, token - 1)]
    heads = [piece[start] for start in starts]
    return Block(
        tokens=np.array([tokens_of(raw)[at] for raw, at in piece], dtype=np.uint16),
        doc_raw=np.array([raw for raw, _ in heads], dtype=np.int64),
        doc_start=np.array(starts, dtype=np.int32),
        doc_from=np.array([at for _, at in heads], dtype=np.int32),
        doc_tokens=np.array([len(tokens_of(raw)) for raw, _ in heads], dtype=np.int32),
        doc_before=np.array([tokens_of(raw)[at - 1] if at else BEGIN for raw, at in heads], dtype=np.int32),
        doc_source=np.zeros(len(starts), dtype=np.int32),
        sources=("s",),
        tokenizer=TOKENIZER,
        window=window,
        shard=shard,
        number=number,
    )


def seal_of(packed: Sequence[Packed]) -> Seal:
    blocks = [block for block, _ in packed]
    return Seal(
        start=blocks[0].window,
        end=blocks[0].window + WINDOW_MS,
        shard=blocks[0].shard,
        documents=sum(int((block.doc_from == 0).sum()) for block in blocks),
        tokens=sum(len(block.tokens) for block in blocks),
        blocks=len(blocks),
        digest=run_digest(block_digest(value) for _, value in packed).hex(),
    )


def report_of(step: Step, attempt: str, fed: bytes, run: str = RUN) -> StepReport:
    return step_report(
        run=run,
        attempt=attempt,
        seq=step.seq,
        step=step.step,
        fed=fed.hex(),
        loss=10.0 / (3 + step.step),
        tokens=step.tokens,
        tokens_total=step.tokens_before + step.tokens,
    )


def manifest_of(attempt: str, seq: int, step: int, tokens: int, fed: bytes, parent: str | None) -> Manifest:
    return Manifest(
        run=RUN,
        attempt=attempt,
        seq=seq,
        step=step,
        tokens=tokens,
        fed=fed.hex(),
        parent=parent,
        cluster="c",
        topics=TOPIC_IDS,
        tokenizer=TOKENIZER,
        weights="",
        fingerprint={},
        settings={"reduction": "canonical", "leaf_blocks": 2},
        files=(),
        time=0,
    )
