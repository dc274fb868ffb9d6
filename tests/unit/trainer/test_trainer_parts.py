"""The pure parts of the trainer: shares, the tree of sums, tensors of a leaf, rate and update."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fleet_of_tests import make_block
from hypothesis import given
from hypothesis import strategies as st

from headrace.contract.errors import SettingsError
from headrace.contract.settings import Trainer
from trainer.batch import IGNORED, make_leaf
from trainer.fleet import first_failure
from trainer.group import choose_device
from trainer.model import check_fits, check_no_leak, new_model, token_losses, vocabulary_size
from trainer.optimizer import apply_update, learning_rate, make_optimizer
from trainer.reduce import Tree, node_places
from trainer.shares import blocks_of, leaf_count, leaves_of


@given(st.integers(1, 200), st.integers(1, 9), st.integers(1, 12))
def test_shares_give_every_block_to_one_rank_in_order(blocks: int, leaf_blocks: int, ranks: int) -> None:
    leaves = leaf_count(blocks, leaf_blocks)
    shares = [leaves_of(rank, ranks, leaves) for rank in range(ranks)]
    assert [leaf for share in shares for leaf in share] == list(range(leaves))
    assert [b for share in shares for b in blocks_of(share, leaf_blocks, blocks)] == list(range(blocks))


@dataclass(frozen=True)
class Written:
    """A sum as it would be written down, with all its brackets."""

    text: str

    def __add__(self, other: "Written") -> "Written":
        return Written(f"({self.text}+{other.text})")


def tree_over(leaves: int, ranks: int) -> str:
    """What the ranks' nodes, pushed in order, add up to."""
    whole: Tree[Written] = Tree(leaves)
    for rank in range(ranks):
        own: Tree[Written] = Tree(leaves)
        for leaf in leaves_of(rank, ranks, leaves):
            own.push(0, leaf, Written(str(leaf)))
        assert node_places(leaves, leaves_of(rank, ranks, leaves)) == [(n.level, n.place) for n in own.nodes]
        for node in own.nodes:
            whole.push(*node)
    (root,) = whole.nodes
    return root.value.text


def by_definition(level: int, place: int, leaves: int) -> str:
    """node(l, i) of docs/step.md, 7."""
    if level == 0:
        return str(place)
    left = by_definition(level - 1, 2 * place, leaves)
    has_right = (2 * place + 1) << (level - 1) < leaves
    return f"({left}+{by_definition(level - 1, 2 * place + 1, leaves)})" if has_right else left


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 5, 7, 40])
def test_the_tree_of_sums_is_the_same_at_any_number_of_ranks(ranks: int) -> None:
    for leaves in range(1, 36):
        assert tree_over(leaves, ranks) == by_definition(math.ceil(math.log2(leaves)) if leaves > 1 else 0, 0, leaves)


def test_a_share_that_is_one_aligned_subtree_sends_one_node() -> None:
    assert node_places(16, range(8, 16)) == [(3, 1)]
    assert [len(node_places(16, leaves_of(rank, 3, 16))) for rank in range(3)] == [2, 3, 2]


def test_a_leaf_predicts_every_token_once_from_the_one_before_it() -> None:
    dice = np.random.default_rng(0)
    blocks = [make_block(dice, "t", tokens=length) for length in (64, 9, 33)]
    leaf = make_leaf(blocks)
    assert leaf.inputs.shape == (3, 64)
    assert sum(int((leaf.targets[row] != IGNORED).sum()) for row in range(3)) == 64 + 9 + 33
    for row, block in enumerate(blocks):
        length = len(block.tokens)
        assert leaf.targets[row, :length].tolist() == block.tokens.tolist()
        assert set(leaf.targets[row, length:].tolist()) <= {IGNORED}
        for start, span, before, source in zip(
            block.doc_start, block.span_lengths(), block.doc_before, block.doc_source, strict=True
        ):
            inside = slice(int(start), int(start + span))
            assert leaf.inputs[row, inside].tolist() == [before, *block.tokens[inside][:-1].tolist()]
            assert leaf.positions[row, inside].tolist() == list(range(span))
            names = {leaf.sources[i] for i in leaf.source.reshape(3, 64)[row, inside]}
            assert names == {block.sources[source]}
        assert leaf.positions[row, length:].sum() == leaf.inputs[row, length:].sum() == 0
        assert (leaf.source.reshape(3, 64)[row, length:] == -1).all()


def test_the_columns_of_a_leaf_depend_on_its_longest_row_alone() -> None:
    dice = np.random.default_rng(0)
    assert [make_leaf([make_block(dice, "t", tokens=n)]).inputs.shape[1] for n in (8, 64, 65, 129)] == [
        64,
        64,
        128,
        192,
    ]


def test_padding_and_other_rows_do_not_change_what_a_row_learns() -> None:
    model = new_model("tiny", 256, seed=1)
    dice = np.random.default_rng(0)
    short, long = make_block(dice, "t", tokens=20), make_block(dice, "t", tokens=64)
    alone = token_losses(model, make_leaf([short]), torch.float32)[:20]
    together = token_losses(model, make_leaf([long, short]), torch.float32).view(2, 64)[1]
    torch.testing.assert_close(alone, together[:20])
    assert together[20:].abs().sum() == 0


def test_first_weights_are_a_function_of_the_seed() -> None:
    first, again, other = (new_model("tiny", 250, seed).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape[0] == 256, "the vocabulary is rounded up to 64"


def test_the_shipped_models_do_not_leak_across_documents() -> None:
    for name in ("small", "tiny"):
        check_no_leak(new_model(name, 300, seed=1))


class Leaky:
    """A model that is told that all tokens may see each other, as most training scripts tell it."""

    def __init__(self, model: Any) -> None:
        self.model, self.config, self.device = model, model.config, model.device

    def __call__(self, input_ids: torch.Tensor, position_ids: torch.Tensor, use_cache: bool) -> Any:
        mask = torch.ones_like(input_ids)
        return self.model(input_ids=input_ids, position_ids=position_ids, attention_mask=mask, use_cache=use_cache)

    def eval(self) -> None: ...

    def train(self) -> None: ...


def test_a_model_that_sees_one_document_from_another_is_refused() -> None:
    for name in ("small", "tiny"):
        with pytest.raises(SettingsError, match="sees one document while it reads another"):
            check_no_leak(Leaky(new_model(name, 300, seed=1)))  # type: ignore[arg-type]


def test_a_model_that_does_not_fit_the_blocks_is_refused(tmp_path: Path) -> None:
    config = new_model("tiny", 256, seed=1).config
    with pytest.raises(SettingsError, match="knows 256 tokens, the tokenizer gives 300"):
        check_fits(config, "tiny", 300, 128)
    with pytest.raises(SettingsError, match="takes 4096 positions"):
        check_fits(config, "tiny", 256, 5000)
    with pytest.raises(SettingsError, match="neither small nor tiny"):
        new_model(str(tmp_path), 256, seed=1)


@pytest.mark.parametrize("config", ["{", "{}", '{"model_type": "unheard-of"}', '{"model_type": "vit"}'])
def test_a_folder_without_a_language_model_is_a_wrong_setting(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(SettingsError, match=r"trainer\.model = .* is no causal language model of transformers"):
        new_model(str(tmp_path), 256, seed=1)


def test_a_file_that_is_no_tokenizer_is_a_wrong_setting(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    with pytest.raises(SettingsError, match=r"does not exist: set tokenizer\.path"):
        vocabulary_size(file)
    file.write_text("no tokenizer")
    with pytest.raises(SettingsError, match=r"tokenizer\.path: .* is no tokenizer\.json"):
        vocabulary_size(file)


def settings(**changes: object) -> Trainer:
    return Trainer(**{"learning_rate": 0.1, "warmup_tokens": 1000, **changes})  # type: ignore[arg-type]


def test_the_rate_is_a_pure_function_of_tokens() -> None:
    assert learning_rate(settings(), 100, 0, 100) == pytest.approx(0.01)
    assert learning_rate(settings(), 100, 900, 100) == pytest.approx(0.1)
    assert learning_rate(settings(), 100, 5000, 100) == pytest.approx(0.1)
    assert learning_rate(settings(), 100, 5000, 25) == pytest.approx(0.025), "a short step learns in proportion"
    assert learning_rate(settings(), 100, 5000, 300) == pytest.approx(0.1), "a long one does not learn faster"
    assert learning_rate(settings(decay="inverse_sqrt"), 100, 3900, 100) == pytest.approx(0.05)
    assert learning_rate(settings(warmup_tokens=0), 100, 0, 100) == pytest.approx(0.1)


def moved(total: Sequence[float], clip: float) -> tuple[torch.Tensor, float, bool]:
    """One parameter of zeros after one plain descent with the gradients' sum over 10 tokens, at rate 0.1."""
    parameter = torch.nn.Parameter(torch.zeros(len(total)))
    optimizer = torch.optim.SGD([parameter])
    update = apply_update(optimizer, [parameter], torch.tensor(total), 10, 0.1, clip)
    return parameter.detach(), update.grad_norm, update.skipped


def test_gradients_are_divided_by_tokens_and_clipped_by_the_norm_of_all() -> None:
    weights, norm, skipped = moved([30.0, 40.0], clip=10.0)
    assert (norm, skipped) == (pytest.approx(5.0), False)
    assert weights.tolist() == pytest.approx([-0.3, -0.4])
    weights, norm, _ = moved([30.0, 40.0], clip=1.0)
    assert norm == pytest.approx(5.0), "of the gradient as it was"
    assert weights.tolist() == pytest.approx([-0.06, -0.08])


def test_an_update_that_is_not_finite_is_skipped() -> None:
    for bad in (math.inf, math.nan):
        weights, norm, skipped = moved([1.0, bad], clip=1.0)
        assert skipped
        assert not math.isfinite(norm)
        assert weights.tolist() == [0.0, 0.0]


def test_matrices_decay_and_vectors_do_not() -> None:
    matrix, vector = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))
    optimizer = make_optimizer([matrix, vector], settings(weight_decay=0.5))
    apply_update(optimizer, [matrix, vector], torch.zeros(6), 1, 0.1, 1.0)
    assert torch.allclose(matrix, torch.full((2, 2), 0.95))
    assert torch.equal(vector, torch.ones(2))


class Ended:
    def __init__(self, exitcode: int | None) -> None:
        self.exitcode = exitcode


@pytest.mark.parametrize(
    ("codes", "passed_on"),
    [([0, 0], 0), ([None, 0], 0), ([1, 4], 4), ([1, 3], 3), ([-9, 1], 137), ([1, -15], 1), ([0, None, 2], 2)],
)
def test_the_fleet_passes_on_the_exit_code_that_says_why(codes: list[int | None], passed_on: int) -> None:
    assert first_failure([Ended(code) for code in codes]) == passed_on  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wanted", "rank", "ranks", "gpus", "device"),
    [
        ("auto", 0, 1, 1, "cuda:0"),
        ("auto", 1, 2, 2, "cuda:1"),
        ("auto", 0, 2, 1, "cpu"),
        ("auto", 0, 1, 0, "cpu"),
        ("cpu", 0, 1, 1, "cpu"),
        ("cuda", 0, 2, 1, None),
        ("cuda_shared", 2, 3, 1, "cuda:0"),
        ("cuda_shared", 3, 4, 2, "cuda:1"),
        ("cuda_shared", 0, 1, 0, None),
    ],
)
def test_ranks_share_a_gpu_only_where_they_are_told_to(
    wanted: str, rank: int, ranks: int, gpus: int, device: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if device is not None:
        assert str(choose_device(wanted, rank, ranks)) == device
        return
    with pytest.raises(SettingsError, match=f"trainer.device = {wanted}, but {gpus} devices for {ranks} ranks"):
        choose_device(wanted, rank, ranks)
