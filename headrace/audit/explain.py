"""Guess how a step came to be fed otherwise than planned: try small mistakes until one gives the `fed` reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from headrace.audit.blockview import BlockView
from headrace.contract.digests import fed_next
from headrace.contract.errors import Coordinate
from headrace.contract.topics import BLOCKS

MOST_BLOCKS = 512
"""Of a larger step no mistake is tried: their number grows with the square."""


class Mistake(NamedTuple):
    """A finding's kind, how it came about, and how many documents it touches."""

    kind: str
    text: str
    documents: int


def explain(before: bytes, seq: int, blocks: Sequence[BlockView], leaf_blocks: int, fed: str) -> Mistake:
    """What must have gone wrong in a step that reports `fed` (hex), which should follow from `before` and `blocks`."""
    if len(blocks) <= MOST_BLOCKS:
        for mistake, instead in _mistakes(blocks, leaf_blocks):
            if fed_next(before, seq, (block.digest for block in instead)).hex() == fed:
                return mistake
    documents = max(1, sum(len(block.spans) for block in blocks))
    return Mistake(
        "wrong_fed", "what was fed is unknown, of this step or of one before that was not reported", documents
    )


def _mistakes(blocks: Sequence[BlockView], leaf_blocks: int) -> Iterator[tuple[Mistake, Sequence[BlockView]]]:
    for index, block in enumerate(blocks):
        documents = len(block.spans)
        yield Mistake("not_fed", f"{_name(block)} was left out", documents), [*blocks[:index], *blocks[index + 1 :]]
        yield Mistake("fed_twice", f"{_name(block)} was fed twice", documents), [*blocks[: index + 1], *blocks[index:]]
    leaves = [blocks[first : first + leaf_blocks] for first in range(0, len(blocks), leaf_blocks)]
    for index, leaf in enumerate(leaves):
        documents = sum(len(block.spans) for block in leaf)
        for other, instead in enumerate(leaves):
            if other != index:
                text = f"leaf {other} was fed in place of leaf {index}, which begins with {_name(leaf[0])}"
                fed = [block for part in (*leaves[:index], instead, *leaves[index + 1 :]) for block in part]
                yield Mistake("wrong_fed", text, documents), fed


def _name(block: BlockView) -> str:
    return str(Coordinate(BLOCKS, block.partition, block.offset))
