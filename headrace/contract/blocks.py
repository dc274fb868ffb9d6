"""A block: one training sequence, one Kafka record, one safetensors file. And the seal of a window of blocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.record import SCHEMA, Record, check_schema

SPAN_TENSORS = {
    "doc_raw": np.int64,
    "doc_start": np.int32,
    "doc_from": np.int32,
    "doc_tokens": np.int32,
    "doc_before": np.int32,
    "doc_source": np.int32,
}

DTYPES = {np.dtype(dtype): name for name, dtype in {"U16": "<u2", "U32": "<u4", "I32": "<i4", "I64": "<i8"}.items()}
"""Their names in a safetensors file."""


@dataclass(frozen=True)
class Block:
    """Tokens of one or more documents in a row; `d` spans, each a piece of one document.

    tokens      u16 or u32 [n]
    doc_raw     i64 [d, 2]  partition and offset of the document in `text.raw`
    doc_start   i32 [d]     where the span begins in the block
    doc_from    i32 [d]     which token of the document that is
    doc_tokens  i32 [d]     tokens in the whole document, end-of-text included
    doc_before  i32 [d]     the token before the span: begin-of-text where doc_from is 0, else the document's last one
    doc_source  i32 [d]     index into `sources`
    window      start of the window in epoch milliseconds; `number` counts the blocks of one (window, shard) from 0
    """

    tokens: NDArray[Any]
    doc_raw: NDArray[np.int64]
    doc_start: NDArray[np.int32]
    doc_from: NDArray[np.int32]
    doc_tokens: NDArray[np.int32]
    doc_before: NDArray[np.int32]
    doc_source: NDArray[np.int32]
    sources: tuple[str, ...]
    tokenizer: str
    window: int
    shard: int
    number: int

    def span_lengths(self) -> NDArray[np.int32]:
        """Tokens in each span, i32 [d]."""
        return np.diff(self.doc_start, append=np.int32(len(self.tokens))).astype(np.int32)

    def encode(self) -> bytes:
        """The safetensors file, the same bytes for equal blocks; `safetensors.torch.load` reads it anywhere."""
        metadata = {
            "schema": str(SCHEMA),
            "tokenizer": self.tokenizer,
            "window": str(self.window),
            "shard": str(self.shard),
            "number": str(self.number),
            "sources": orjson.dumps(self.sources).decode(),
        }
        return _file({**{name: getattr(self, name) for name in SPAN_TENSORS}, "tokens": self.tokens}, metadata)

    @classmethod
    def decode(cls, value: bytes | None, at: Coordinate) -> Block:
        """Read a block and check that its parts fit each other; raises RecordError naming `at`."""
        try:
            if value is None:
                raise ValueError("has no value")
            block = cls._read(value, at)
        except RecordError:
            raise
        except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
            raise RecordError(at, f"not a block: {error}") from None
        if (problem := _problem(block)) is not None:
            raise RecordError(at, problem)
        return block

    @classmethod
    def _read(cls, value: bytes, at: Coordinate) -> Block:
        size = int.from_bytes(value[:8], "little")
        said = orjson.loads(value[8 : 8 + size])["__metadata__"]
        check_schema(int(said["schema"]), at)
        tensors = safetensors.numpy.load(value)
        return cls(
            tokens=tensors["tokens"],
            **{name: tensors[name] for name in SPAN_TENSORS},
            sources=tuple(orjson.loads(said["sources"])),
            tokenizer=said["tokenizer"],
            window=int(said["window"]),
            shard=int(said["shard"]),
            number=int(said["number"]),
        )


def _file(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file with the tensors in that order, which must be that of falling item size.

    The library's own writer takes the metadata in a random order, and ten times as long: docs/decisions/0022.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": tensor.shape, "data_offsets": (begin, end)}
    head = orjson.dumps(header)
    head += b" " * (-len(head) % 8)
    return b"".join((len(head).to_bytes(8, "little"), head, *(tensor.tobytes() for tensor in tensors.values())))


def _problem(block: Block) -> str | None:
    """What does not fit, in words; None if all does."""
    spans = len(block.doc_start)
    if block.tokens.dtype not in (np.uint16, np.uint32) or block.tokens.ndim != 1 or not len(block.tokens):
        return f"tokens are {block.tokens.dtype} {block.tokens.shape}, not u16 or u32 [n] with n > 0"
    for name, dtype in SPAN_TENSORS.items():
        tensor = getattr(block, name)
        shape = (spans, 2) if name == "doc_raw" else (spans,)
        if tensor.dtype != dtype or tensor.shape != shape:
            return f"{name} is {tensor.dtype} {tensor.shape}, not {np.dtype(dtype)} {shape}"
    if not spans or block.doc_start[0] != 0 or (block.span_lengths() <= 0).any():
        return "the spans do not tile the block"
    if (block.doc_from < 0).any() or (block.doc_from + block.span_lengths() > block.doc_tokens).any():
        return "a span reaches outside its document"
    if (block.doc_source < 0).any() or (block.doc_source >= len(block.sources)).any():
        return "doc_source points outside sources"
    return None


class Seal(Record):
    """One record of `tokens.windows`: all that one shard put into one window. A (window, shard) may be sealed again."""

    start: int
    end: int
    shard: int
    documents: int
    tokens: int
    blocks: int
    digest: str
    """Hex of `digests.run_digest` over the window's blocks in order."""
