"""The same plan gives the same bits at any number of ranks, through restarts and resizes; and breaking that is seen."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from fleet_of_tests import (
    Outcome,
    Told,
    kept_steps,
    make_folder,
    make_settings,
    make_steps,
    my_work,
    on_ranks,
    open_run,
    outcome,
    train_until,
    write_tokenizer,
)

import trainer.loop
from headrace.contract.digests import file_sha256
from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.settings import Settings
from trainer.group import Group, PeerLost
from trainer.reduce import Canonical

STEPS = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("runs"), STEPS)


@pytest.fixture(scope="module")
def alone(folder: Path) -> Outcome:
    """The run that all others must equal: one rank, never interrupted."""
    (result,) = on_ranks(1, train_until, make_settings(folder, run="alone"), STEPS)
    return result


def all_alike(results: list[Outcome]) -> Outcome:
    """The outcome that every rank has."""
    for result in results:
        if isinstance(result, Exception):
            raise result
    assert len({result.weights for result in results}) == 1
    assert all(result.losses == results[0].losses for result in results)
    return results[0]


def test_the_run_learns(alone: Outcome) -> None:
    assert alone.step == STEPS
    assert np.mean(alone.losses[-5:]) < np.mean(alone.losses[:5]) - 0.5
    assert not any(alone.skipped)


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_any_number_of_ranks_gives_the_same_bits(ranks: int, folder: Path, alone: Outcome) -> None:
    """Steps are ragged, of 1 to 9 blocks, so at 7 ranks every step leaves some ranks without a leaf."""
    found = all_alike(on_ranks(ranks, train_until, make_settings(folder, run=f"ranks{ranks}"), STEPS))
    assert found.weights == alone.weights
    assert found.fed == alone.fed
    assert found.losses == alone.losses
    assert found.sources == alone.sources


def test_resume_with_other_numbers_of_ranks(folder: Path, alone: Outcome) -> None:
    settings = make_settings(folder, run="resized")
    for ranks, step in ((2, 6), (5, 12), (1, 18), (7, 24)):
        all_alike(on_ranks(ranks, train_until, settings, step))
    found = all_alike(on_ranks(3, train_until, settings, STEPS))
    assert (found.weights, found.fed) == (alone.weights, alone.fed)
    assert found.losses == alone.losses[24:]


def test_dropout_is_seeded_by_the_leaf(folder: Path, alone: Outcome) -> None:
    config = json.loads((Path(trainer.loop.__file__).parent / "models/tiny/config.json").read_text())
    (folder / "dropout").mkdir()
    (folder / "dropout/config.json").write_text(json.dumps({**config, "attention_dropout": 0.2}))
    one, three = (
        all_alike(on_ranks(ranks, train_until, make_settings(folder, run=f"d{ranks}", model=folder / "dropout"), 12))
        for ranks in (1, 3)
    )
    assert one.weights == three.weights
    assert one.losses != alone.losses[:12]


def test_plain_reduction_is_close_but_not_the_same(folder: Path, alone: Outcome) -> None:
    found = all_alike(on_ranks(3, train_until, make_settings(folder, run="plain", reduction="plain"), STEPS))
    for one, other in zip(found.parameters, alone.parameters, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)
    assert found.losses == pytest.approx(alone.losses, abs=1e-3)
    assert found.weights != alone.weights, "the order of sums does matter, so equality above means something"


class AverageOfRanks(Canonical):
    """What data-parallel training usually does."""

    def finish(self) -> torch.Tensor:
        own = sum(node.value for node in self.tree.nodes) if self.tree.nodes else torch.zeros(self.width)
        dist.all_reduce(own)
        return own / self.ranks * self.ranks


def train_with_averages(group: Group, settings: Settings, stop: int) -> Outcome:
    trainer.loop.REDUCTIONS = {"canonical": AverageOfRanks}
    return train_until(group, settings, stop)


def test_an_average_by_ranks_is_noticed(folder: Path, alone: Outcome) -> None:
    found = all_alike(on_ranks(3, train_with_averages, make_settings(folder, run="average"), STEPS))
    assert found.weights != alone.weights


def train_with_infinity(group: Group, settings: Settings, stop: int) -> Outcome:
    """One leaf of step 3 gives an infinite gradient, on whichever rank has it."""
    learn = trainer.loop.learn

    def broken(run: Any, state: Any, step: int, leaf: int, fetched: Any) -> Any:
        flat, facts = learn(run, state, step, leaf, fetched)
        return (flat * float("inf") if (step, leaf) == (3, 0) else flat), facts

    trainer.loop.learn = broken
    return train_until(group, settings, stop)


def test_an_infinite_gradient_is_skipped_by_all_alike(folder: Path) -> None:
    one, two = (
        all_alike(on_ranks(ranks, train_with_infinity, make_settings(folder, run=f"inf{ranks}"), 8)) for ranks in (1, 2)
    )
    assert one.weights == two.weights
    assert one.skipped == [number == 3 for number in range(8)]


WRONGLY = ("twice", "swapped", "other slice", "skipped")


def feed_wrongly(group: Group, settings: Settings) -> list[tuple[str, str, str]]:
    """Rank 1 breaks one step, in every way in turn; returns each error and the weights before and after."""
    run, state = open_run(group, settings)
    steps = kept_steps(settings)[:6]
    work = my_work(steps, group, settings.trainer.leaf_blocks)
    train(run, state, work[:5])
    before, last = state.weights_sha256(), work[5]
    assert len(last.blocks) >= 2
    blocks = last.blocks
    broken = {
        "twice": (blocks[0], blocks[0], *blocks[2:]),
        "swapped": (blocks[1], blocks[0], *blocks[2:]),
        "other slice": tuple(steps[5][1][: len(blocks)]),
        "skipped": blocks[:-1],
    }
    found = []
    for how in WRONGLY:
        with pytest.raises(ContractError) as caught:
            train(run, state, [replace(last, blocks=broken[how]) if group.rank == 1 else last])
        found.append((str(caught.value), before, state.weights_sha256()))
    return found


train = trainer.loop.train


def test_feeding_other_blocks_than_planned_stops_every_rank_before_the_update(folder: Path) -> None:
    for results in on_ranks(2, feed_wrongly, make_settings(folder, run="wrong")):
        if isinstance(results, Exception):
            raise results
        assert len(results) == len(WRONGLY)
        for message, before, after in results:
            assert "step 5" in message
            assert ("planned" in message and "fed" in message) or "are planned" in message
            assert before == after


def hold_another_plan(group: Group, settings: Settings) -> str:
    run, state = open_run(group, settings)
    steps = make_steps(file_sha256(str(settings.tokenizer_file)), 1, seed=group.rank)
    with pytest.raises(ContractError) as caught:
        train(run, state, my_work(steps, group, settings.trainer.leaf_blocks))
    return str(caught.value)


def test_ranks_with_different_plans_stop_and_name_both(folder: Path) -> None:
    for message in on_ranks(2, hold_another_plan, make_settings(folder, run="two-plans")):
        assert str(message).startswith("rank 1 holds plan record 1 (")
        assert "rank 0 holds plan record 1 (" in str(message)


def stop_in_turn(group: Group, settings: Settings, stopped: bool) -> Outcome:
    """Rank 1 leaves, idle; rank 0 has a step in hand already."""
    run, state = open_run(group, settings, Told(stop=stopped))
    steps = kept_steps(settings)[:3]
    work = my_work(steps, group, settings.trainer.leaf_blocks)
    train(replace(run, control=Told()), state, work[:2])
    if group.leads:
        train(run, state, work[2:])
    return outcome(run, state)


def test_a_peer_that_left_during_a_stop_is_no_error(folder: Path) -> None:
    settings = make_settings(folder, run="stop")
    first, second = on_ranks(2, stop_in_turn, settings, True)
    assert (first.step, second.step) == (2, 2)
    assert [path.name for path in sorted((settings.checkpoint_dir / "stop").glob("step-*"))][-1] == "step-0000000002"


def test_a_peer_that_is_gone_is_an_error_otherwise(folder: Path) -> None:
    lost, _ = on_ranks(2, stop_in_turn, make_settings(folder, run="gone"), False)
    assert isinstance(lost, PeerLost)


def test_a_changed_setting_or_tokenizer_is_named_on_both_sides(folder: Path) -> None:
    on_ranks(1, train_until, make_settings(folder, run="fixed"), 2)
    (changed,) = on_ranks(1, train_until, make_settings(folder, run="fixed", leaf_blocks=3), 2)
    assert isinstance(changed, SettingsError)
    assert "trainer.leaf_blocks is 3" in str(changed)
    assert "with 2" in str(changed)
    other = folder / "other"
    other.mkdir()
    write_tokenizer(other / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    settings = make_settings(other, run="fixed", checkpoint_dir=folder / "checkpoints")
    (foreign,) = on_ranks(1, train_until, settings, 2)
    assert isinstance(foreign, ContractError)
    assert file_sha256(str(folder / "tokenizer.json")) in str(foreign)
    assert file_sha256(str(other / "tokenizer.json")) in str(foreign)


def test_another_fingerprint_warns_or_is_refused(folder: Path) -> None:
    all_alike(on_ranks(1, train_until, make_settings(folder, run="threads"), 2))
    all_alike(on_ranks(1, train_until, make_settings(folder, run="threads", threads=2), 3))
    (refused,) = on_ranks(1, train_until, make_settings(folder, run="threads", require_bitwise=True), 3)
    assert isinstance(refused, ContractError)
    assert "threads: 2 then, 1 now" in str(refused)
