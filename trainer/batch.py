"""From blocks to the tensors of a leaf. Shapes depend on the leaf alone, never on ranks (docs/step.md, 2 to 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from headrace.contract.blocks import Block

COLUMNS = 64
"""Rows are padded to a multiple of this: the longest row of the step or of the rank would change bits."""
IGNORED = -100
"""Target of padding: no loss. Its token and position are 0."""


@dataclass(frozen=True)
class Leaf:
    """The blocks of one forward and backward pass, one a row.

    inputs, targets, positions   i64 [rows, columns]
    source                       i64 [rows * columns]  index into `sources`; -1 where there is padding
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    positions: torch.Tensor
    source: NDArray[np.int64]
    sources: tuple[str, ...]


def make_leaf(blocks: Sequence[Block]) -> Leaf:
    """Lay blocks in rows. The input of a span is the token before it and all but its last; the target is the span.

    Positions restart at 0 in every span: it is by them that the model sees where a document ends.
    """
    longest = max(len(block.tokens) for block in blocks)
    shape = (len(blocks), -(-longest // COLUMNS) * COLUMNS)
    inputs, positions = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    targets, source = np.full(shape, IGNORED, np.int64), np.full(shape, -1, np.int64)
    names = sorted({name for block in blocks for name in block.sources})
    for row, block in enumerate(blocks):
        length = len(block.tokens)
        spans = block.span_lengths()
        inputs[row, 1:length] = block.tokens[:-1]
        inputs[row, block.doc_start] = block.doc_before
        targets[row, :length] = block.tokens
        positions[row, :length] = np.arange(length) - np.repeat(block.doc_start, spans)
        named = np.array([names.index(name) for name in block.sources])
        source[row, :length] = np.repeat(named[block.doc_source], spans)
    return Leaf(_tensor(inputs), _tensor(targets), _tensor(positions), source.reshape(-1), tuple(names))


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(array)
