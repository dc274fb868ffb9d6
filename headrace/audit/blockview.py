"""A block as the audit needs it: spans as plain integers and the digest. Several times cheaper than `Block.decode`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson

from headrace.contract.blocks import Block
from headrace.contract.digests import block_digest
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.record import READS

DTYPES: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
}


class Span(NamedTuple):
    """Tokens [start, start + length) of the `total` of document `raw`; the token before them, and the last of them."""

    raw: tuple[int, int]
    start: int
    length: int
    total: int
    before: int
    last: int


class BlockView(NamedTuple):
    """One record of `tokens.blocks`. A record that cannot be read has no tokens, no spans, and shard -1.

    `ending`: documents whose last token is here; over all blocks this counts each whole document once.
    """

    partition: int
    offset: int
    digest: bytes
    tokens: int = 0
    window: int = 0
    shard: int = -1
    number: int = 0
    tokenizer: str = ""
    spans: tuple[Span, ...] = ()
    ending: int = 0


def view(value: bytes | None, topic: str, partition: int, offset: int) -> BlockView:
    """Read a block; raises RecordError naming it and what does not fit."""
    try:
        assert value is not None
        return _view(value, partition, offset)
    except (ValueError, KeyError, TypeError, IndexError, AssertionError):
        at = Coordinate(topic, partition, offset)
        Block.decode(value, at)  # says what is wrong in more words
        raise RecordError(at, "is not laid out as a block") from None


def _view(value: bytes, partition: int, offset: int) -> BlockView:
    base = 8 + int.from_bytes(value[:8], "little")
    head = orjson.loads(value[8:base])
    said = head["__metadata__"]
    if int(said["schema"]) not in READS:
        raise ValueError(f"schema {said['schema']}")
    tokens = _tensor(value, base, head["tokens"])
    spans = tuple(_spans(value, base, head, tokens))
    return BlockView(
        partition,
        offset,
        block_digest(value),
        len(tokens),
        int(said["window"]),
        int(said["shard"]),
        int(said["number"]),
        said["tokenizer"],
        spans,
        sum([start + length == total for _, start, length, total, _, _ in spans]),
    )


def _tensor(value: bytes, base: int, entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    dtype, (first, last) = DTYPES[entry["dtype"]], entry["data_offsets"]
    return np.frombuffer(value, dtype, (last - first) // dtype.itemsize, base + first)


def _spans(value: bytes, base: int, head: dict[str, Any], tokens: np.ndarray[Any, Any]) -> Iterator[Span]:
    names = ("doc_start", "doc_from", "doc_tokens", "doc_before")
    starts, froms, totals, befores = (_tensor(value, base, head[name]).tolist() for name in names)
    raws = _tensor(value, base, head["doc_raw"]).reshape(-1, 2).tolist()
    ends = [*starts[1:], len(tokens)]
    if not starts or starts[0] != 0:
        raise ValueError("the spans do not tile the block")
    for (raw_partition, raw_offset), start, end, at, total, before in zip(
        raws, starts, ends, froms, totals, befores, strict=True
    ):
        if end <= start or at < 0 or at + end - start > total:
            raise ValueError("a span reaches outside its block or document")
        yield Span((raw_partition, raw_offset), at, end - start, total, before, int(tokens[end - 1]))
