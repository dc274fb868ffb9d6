"""The cheap way to read a block agrees with the full one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.audit.blockview import view
from headrace.contract.blocks import Block
from headrace.contract.digests import block_digest
from headrace.contract.errors import Coordinate, RecordError
from tests.unit.audit.pieces import all_of, block_of, cut_into_blocks

AT = Coordinate("tokens.blocks", 2, 7)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=5, unique=True), st.integers(0, 2))
def test_it_agrees_with_the_full_decoding(offsets: list[int], partition: int) -> None:
    for block in cut_into_blocks([(partition, offset) for offset in offsets], 2_000, 3):
        value = block.encode()
        seen = view(value, "tokens.blocks", 2, 7)
        assert (seen.partition, seen.offset, seen.digest) == (2, 7, block_digest(value))
        assert (seen.tokens, seen.tokenizer) == (len(block.tokens), block.tokenizer)
        assert (seen.window, seen.shard, seen.number) == (block.window, block.shard, block.number)
        assert [list(span.raw) for span in seen.spans] == block.doc_raw.tolist()
        assert [span.start for span in seen.spans] == block.doc_from.tolist()
        assert [span.length for span in seen.spans] == block.span_lengths().tolist()
        assert [span.total for span in seen.spans] == block.doc_tokens.tolist()
        assert [span.before for span in seen.spans] == block.doc_before.tolist()
        ends = np.cumsum(block.span_lengths()) - 1
        assert [span.last for span in seen.spans] == block.tokens[ends].tolist()
        whole = block.doc_from + block.span_lengths() == block.doc_tokens
        assert seen.ending == int(whole.sum())


def changed(**tensors: object) -> bytes:
    block = block_of([((0, 0), at) for at in all_of((0, 0))], 2_000, 3, 0)
    return Block(**{**vars(block), **tensors}).encode()


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff" * 40,
        changed(doc_start=np.array([1], dtype=np.int32)),
        changed(doc_from=np.array([40], dtype=np.int32)),
        changed(doc_tokens=np.array([1], dtype=np.int32)),
        changed(doc_raw=np.array([[0, 0], [0, 1]])),
        changed(tokens=np.array([], dtype=np.uint16)),
        changed().replace(b'"schema":"1"', b'"schema":"2"'),
    ],
)
def test_what_the_full_decoding_refuses_is_refused(value: bytes | None) -> None:
    with pytest.raises(RecordError):
        Block.decode(value, AT)
    with pytest.raises(RecordError, match=r"tokens\.blocks\[2\]@7"):
        view(value, AT.topic, AT.partition, AT.offset)
