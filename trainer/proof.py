"""What was fed, and that it is what was planned. Whoever feeds bytes hashes them; every rank checks all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from headrace.contract.blocks import Block
from headrace.contract.digests import block_digest, run_digest
from headrace.contract.errors import ContractError, Coordinate, RecordError
from headrace.contract.plan import Step
from headrace.contract.topics import PLAN
from trainer.batch import Leaf


@dataclass(frozen=True)
class Fetched:
    """One record of `tokens.blocks` as it came, and the time of its oldest text in epoch milliseconds."""

    at: Coordinate
    published: int
    value: bytes


@dataclass(frozen=True)
class LeafFacts:
    """What one leaf fed and found. `digests` of its blocks in order; `sources`: tokens and summed loss (float64)."""

    leaf: int
    digests: tuple[bytes, ...]
    tokens: int
    published: int
    sources: dict[str, tuple[int, float]]


@dataclass(frozen=True)
class FedLeaf:
    """A leaf that was fed. `losses`: fp32 [rows * columns], maybe still under way on a GPU."""

    leaf: int
    digests: tuple[bytes, ...]
    published: int
    batch: Leaf
    losses: torch.Tensor

    def facts(self) -> LeafFacts:
        """Blocks until the losses are there."""
        real = self.batch.source >= 0
        source, names = self.batch.source[real], self.batch.sources
        tokens = np.bincount(source, minlength=len(names))
        sums = np.bincount(source, self.losses.double().cpu().numpy()[real], len(names))
        sources = {name: (int(tokens[i]), float(sums[i])) for i, name in enumerate(names)}
        return LeafFacts(self.leaf, self.digests, int(tokens.sum()), self.published, sources)


def read_and_hash(fetched: Sequence[Fetched], tokenizer: str) -> tuple[list[Block], tuple[bytes, ...]]:
    """Decode the blocks of a leaf and hash the very bytes that are decoded. Raises RecordError."""
    blocks = [Block.decode(one.value, one.at) for one in fetched]
    for block, one in zip(blocks, fetched, strict=True):
        if block.tokenizer != tokenizer:
            raise RecordError(one.at, f"was made with tokenizer {block.tokenizer}, the run's is {tokenizer}")
    return blocks, tuple(block_digest(one.value) for one in fetched)


def check_fed(step: Step, facts: Sequence[LeafFacts]) -> None:
    """Compare what all leaves fed, in order, with the plan. Every rank does so before the weights move.

    Raises ContractError naming step, run of blocks and both digests.
    """
    digests = [digest for leaf in facts for digest in leaf.digests]
    where = f"step {step.step} ({PLAN} seq {step.seq})"
    if len(digests) != step.block_count:
        raise ContractError(f"{where}: {len(digests)} blocks were fed, {step.block_count} are planned")
    for run in step.blocks:
        fed = run_digest(digests[: run.records]).hex()
        if fed != run.digest:
            raise ContractError(
                f"{where}, blocks {run.first} to {run.last} of partition {run.partition}: fed {fed},"
                f" planned {run.digest}: the blocks were changed, or fed in another order"
            )
        digests = digests[run.records :]
    tokens = sum(leaf.tokens for leaf in facts)
    if tokens != step.tokens:
        raise ContractError(f"{where}: {tokens} tokens were fed, {step.tokens} are planned")
