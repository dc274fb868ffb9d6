"""What the bits must not depend on, done otherwise: each of these would make the weights depend on the ranks.

test_bitwise.py shows that the real ones do not, and that an average by ranks and sums by rank are noticed.
"""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from fleet_of_tests import make_block

import trainer.batch
from headrace.contract.settings import Trainer
from trainer.batch import make_leaf
from trainer.model import new_model, token_losses
from trainer.optimizer import make_optimizer
from trainer.reduce import Tree

WIDTH = 1003
"""Parameters of these tests: no multiple of what a processor adds at once, and no shard of them is."""
SHARDS = (2, 3, 5, 7, 16)


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().numpy().tobytes()


def summed(values: Sequence[torch.Tensor]) -> torch.Tensor:
    tree: Tree[torch.Tensor] = Tree(len(values))
    for leaf, value in enumerate(values):
        tree.push(0, leaf, value.clone())
    (root,) = tree.nodes
    return root.value


def gradients(leaves: int) -> list[torch.Tensor]:
    """As they are: some are zero from below, as those of a word that no text held."""
    dice = torch.Generator().manual_seed(1)
    made = [torch.randn(WIDTH, generator=dice) for _ in range(leaves)]
    for one in made:
        one[:10] = -0.0
    return made


def test_zeros_in_place_of_leaves_that_are_not_there_change_bits() -> None:
    there = gradients(3)
    filled = summed([*there, torch.zeros(WIDTH)])
    assert torch.equal(filled, summed(there)), "the same numbers"
    assert bits(filled) != bits(summed(there)), "-0.0 + 0.0 is 0.0"


def test_the_order_of_the_leaves_sums_changes_bits() -> None:
    leaves = gradients(7)
    by_ranks = summed([summed(leaves[:4]), summed(leaves[4:])])
    assert bits(by_ranks) == bits(summed(leaves)), "two ranks whose shares are subtrees"
    by_ranks = summed([summed(leaves[:3]), summed(leaves[3:])])
    assert bits(by_ranks) != bits(summed(leaves)), "two ranks that split one"


def test_an_average_that_is_taken_back_changes_bits() -> None:
    root = summed(gradients(7))
    for ranks, exact in ((2, True), (4, True), (3, False), (5, False), (7, False)):
        assert (bits(root / ranks * ranks) == bits(root)) == exact


def test_other_padding_changes_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Padded to the longest row of a rank or of the step, a leaf would have other gradients at another number."""
    blocks = [make_block(np.random.default_rng(1), "", tokens) for tokens in (20, 40)]
    model = new_model("tiny", 256, seed=1)

    def learn(columns: int) -> bytes:
        monkeypatch.setattr(trainer.batch, "COLUMNS", columns)
        loss = token_losses(model, make_leaf(blocks), torch.float32).sum()
        flat = torch.cat([one.reshape(-1) for one in torch.autograd.grad(loss, list(model.parameters()))])
        return bits(flat)

    assert learn(64) == learn(64)
    assert len({learn(columns) for columns in (40, 44, 52, 64)}) > 1


def after_steps(shards: int, fused: bool) -> bytes:
    """Weights that an optimizer moved in so many pieces."""
    dice = torch.Generator().manual_seed(1)
    first = torch.randn(WIDTH, generator=dice)
    pieces = [torch.nn.Parameter(piece.clone()) for piece in first.tensor_split(shards)]
    optimizer = make_optimizer(pieces, Trainer())
    if fused:
        optimizer = torch.optim.AdamW(pieces, lr=1e-2, weight_decay=0.01, betas=(0.9, 0.95), fused=True)
    for _ in range(20):
        gradient = torch.randn(WIDTH, generator=dice)
        for parameter, piece in zip(pieces, gradient.tensor_split(shards), strict=True):
            parameter.grad = piece.clone()
        optimizer.step()
    return b"".join(bits(piece) for piece in pieces)


def test_a_fused_optimizer_on_shards_changes_bits_and_ours_does_not() -> None:
    assert len({after_steps(shards, fused=False) for shards in (1, *SHARDS)}) == 1
    assert len({after_steps(shards, fused=True) for shards in (1, *SHARDS)}) > 1
