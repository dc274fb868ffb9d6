"""Packing: every token of every document once and in order, and blocks that say so."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flink_jobs.text.pack import Encoded, Window, pack
from headrace.contract.blocks import Block
from headrace.contract.errors import Coordinate
from headrace.contract.topics import LARGEST_OUTPUT_BYTES

AT = Coordinate("tokens.blocks", 0, 0)
BEGIN = 7
WINDOW = Window(start=1_700_000_000_000, shard=3, tokenizer="ab" * 32, begin=BEGIN)


@st.composite
def documents(draw: st.DrawFn) -> list[Encoded]:
    """Documents of one shard in the order in which a window happens to hold them."""
    dtype = draw(st.sampled_from([np.uint16, np.uint32]))
    places = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2**40)), unique=True, max_size=12))
    return [
        Encoded(
            clean=place,
            raw=(number % 4, number * 10),
            published=draw(st.integers(0, 2**45)),
            source=draw(st.sampled_from(["chat", "mail", "ü"])),
            tokens=np.array(draw(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=40)), dtype=dtype),
        )
        for number, place in enumerate(places)
    ]


@given(documents(), st.integers(1, 30))
def test_every_token_once_and_in_order(given_documents: list[Encoded], block_tokens: int) -> None:
    packed = list(pack(given_documents, WINDOW, block_tokens))
    found: dict[tuple[int, int], list[int]] = defaultdict(list)
    first_seen = []
    for block, _ in packed:
        for (partition, offset), start, length, begin, whole, before, source in zip(
            block.doc_raw.tolist(), block.doc_start.tolist(), block.span_lengths().tolist(), block.doc_from.tolist(),
            block.doc_tokens.tolist(), block.doc_before.tolist(), block.doc_source.tolist(), strict=True,
        ):  # fmt: skip
            document = next(one for one in given_documents if one.raw == (partition, offset))
            so_far = found[document.raw]
            if not so_far:
                first_seen.append(document.clean)
            assert begin == len(so_far)
            assert before == (so_far[-1] if so_far else BEGIN)
            assert whole == len(document.tokens)
            assert block.sources[source] == document.source
            so_far.extend(block.tokens[start : start + length].tolist())
    assert found == {document.raw: document.tokens.tolist() for document in given_documents}
    assert first_seen == sorted(document.clean for document in given_documents)


@given(documents(), st.integers(1, 30))
def test_blocks_are_full_but_for_the_last_and_can_be_read(given_documents: list[Encoded], block_tokens: int) -> None:
    packed = list(pack(given_documents, WINDOW, block_tokens))
    assert all(len(block.tokens) == block_tokens for block, _ in packed[:-1])
    assert all(0 < len(block.tokens) <= block_tokens for block, _ in packed)
    assert [block.number for block, _ in packed] == list(range(len(packed)))
    for block, published in packed:
        again = Block.decode(block.encode(), AT)
        assert (again.window, again.shard, again.tokenizer) == (WINDOW.start, WINDOW.shard, WINDOW.tokenizer)
        np.testing.assert_array_equal(again.tokens, block.tokens)
        inside = {tuple(raw) for raw in block.doc_raw.tolist()}
        assert published == min(one.published for one in given_documents if one.raw in inside)


@given(documents())
def test_a_document_in_state_comes_back(given_documents: list[Encoded]) -> None:
    for document in given_documents:
        again = Encoded.from_bytes(document.to_bytes())
        assert again.tokens.dtype == document.tokens.dtype
        np.testing.assert_array_equal(again.tokens, document.tokens)
        assert vars(again) | {"tokens": None} == vars(document) | {"tokens": None}


@pytest.mark.parametrize("letter", ["\x01", "\U0001f600", '"'])
def test_no_block_is_larger_than_a_record_may_be(letter: str) -> None:
    """At the greatest block_tokens, of the shortest documents, with sources as long and as awkward as they may be."""
    source = letter * 194
    short = np.array([5, 0], dtype=np.uint32)
    many = [Encoded((0, n), (0, n), 0, f"{source}{n:06}", short) for n in range(4096)]
    (only,) = pack(many, WINDOW, 8192)
    assert len(only.block.encode()) < LARGEST_OUTPUT_BYTES
