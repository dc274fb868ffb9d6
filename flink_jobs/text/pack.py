"""Documents of one (window, shard) cut into blocks: in order, every token once, no block over its length."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flink_jobs.text.tokens import Tokens
from headrace.contract.blocks import Block

HEAD = struct.Struct("<iqiqqBH")


@dataclass(frozen=True)
class Encoded:
    """One document as tokens, end-of-text included.

    `clean` is its partition and offset in `text.clean`, by which documents are ordered; `raw` its identity;
    `published` in epoch milliseconds.
    """

    clean: tuple[int, int]
    raw: tuple[int, int]
    published: int
    source: str
    tokens: Tokens

    def to_bytes(self) -> bytes:
        """What stands in a window's state: no text, and nothing that names a class."""
        source = self.source.encode()
        head = HEAD.pack(*self.clean, *self.raw, self.published, self.tokens.itemsize, len(source))
        return head + source + self.tokens.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Encoded:
        """The inverse of `to_bytes`."""
        clean_partition, clean_offset, partition, offset, published, size, length = HEAD.unpack_from(data)
        body = HEAD.size + length
        return cls(
            clean=(clean_partition, clean_offset),
            raw=(partition, offset),
            published=published,
            source=data[HEAD.size : body].decode(),
            tokens=np.frombuffer(data, dtype=f"u{size}", offset=body),
        )


class Window(NamedTuple):
    """What the blocks of one (window, shard) share: start in epoch milliseconds, sha256 and begin-of-text of the
    tokenizer."""

    start: int
    shard: int
    tokenizer: str
    begin: int


class Packed(NamedTuple):
    """A block, and when the oldest document in it was published."""

    block: Block
    published: int


def pack(documents: Sequence[Encoded], window: Window, block_tokens: int) -> Iterator[Packed]:
    """Lay the documents end to end, by their place in `text.clean`, and cut every `block_tokens` tokens.

    A document may span blocks; the last block is what is left over. No documents make no block.
    """
    if not documents:
        return
    documents = sorted(documents, key=lambda document: document.clean)
    stream = np.concatenate([document.tokens for document in documents])
    lengths = np.array([len(document.tokens) for document in documents])
    raw = np.array([document.raw for document in documents], dtype=np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    cuts = np.append(np.arange(0, len(stream), block_tokens), len(stream))
    # Of each block: the first document that reaches beyond its begin, and the first that begins at its end or later.
    heads = np.searchsorted(ends, cuts[:-1], side="right").tolist()
    tails = np.searchsorted(starts, cuts[1:], side="left").tolist()
    places = cuts.tolist()
    for number, (head, tail) in enumerate(zip(heads, tails, strict=True)):
        first, last, here = places[number], places[number + 1], documents[head:tail]
        begun = starts[head:tail]
        spans = np.maximum(begun, first)
        taken = spans - begun
        sources = {source: index for index, source in enumerate(dict.fromkeys(document.source for document in here))}
        block = Block(
            tokens=stream[first:last],
            doc_raw=raw[head:tail],
            doc_start=(spans - first).astype(np.int32),
            doc_from=taken.astype(np.int32),
            doc_tokens=lengths[head:tail].astype(np.int32),
            doc_before=np.where(taken == 0, window.begin, stream[spans - 1]).astype(np.int32),
            doc_source=np.array([sources[document.source] for document in here], dtype=np.int32),
            sources=tuple(sources),
            tokenizer=window.tokenizer,
            window=window.start,
            shard=window.shard,
            number=number,
        )
        yield Packed(block, min(document.published for document in here))
