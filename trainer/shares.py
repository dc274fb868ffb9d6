"""Which leaves of a step are whose: arithmetic on counts alone, so that every rank knows every rank's share."""

from __future__ import annotations


def leaf_count(blocks: int, leaf_blocks: int) -> int:
    """Leaves of a step of `blocks` blocks; the last one may be smaller."""
    return -(-blocks // leaf_blocks)


def leaves_of(rank: int, ranks: int, leaves: int) -> range:
    """The leaves that a rank computes; a rank may have none."""
    return range(rank * leaves // ranks, (rank + 1) * leaves // ranks)


def blocks_of(leaves: range, leaf_blocks: int, blocks: int) -> range:
    """The places in the step of the blocks of consecutive leaves."""
    return range(min(blocks, leaves.start * leaf_blocks), min(blocks, leaves.stop * leaf_blocks))
