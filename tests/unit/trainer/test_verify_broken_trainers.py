"""The real training loop on the plan of a small world, broken on purpose: verify names what it fed.

The trainer's own check, which stops it before the weights move, is taken out, as a defect in it would.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fleet_of_tests import SOURCE, kept_steps, make_settings, my_work, on_ranks, open_run, write_tokenizer

import trainer.loop
from headrace.audit.findings import Findings
from headrace.audit.manifests import read_manifests
from headrace.contract.digests import file_sha256
from headrace.contract.errors import ContractError, Coordinate
from headrace.contract.plan import Step
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS
from headrace.contract.training import StepReport
from tests.unit.audit.world import World
from trainer.group import Group
from trainer.proof import Fetched

Feed = Callable[[int, int, Sequence[Fetched]], Sequence[Fetched]]
BROKEN = 7


def as_planned(step: int, leaf: int, blocks: Sequence[Fetched]) -> Sequence[Fetched]:
    return blocks


def skip_a_block(step: int, leaf: int, blocks: Sequence[Fetched]) -> Sequence[Fetched]:
    return blocks[1:] if (step, leaf) == (BROKEN, 0) else blocks


def feed_a_block_twice(step: int, leaf: int, blocks: Sequence[Fetched]) -> Sequence[Fetched]:
    return [blocks[0], *blocks] if (step, leaf) == (BROKEN, 0) else blocks


def train(group: Group, settings: Settings, feed: Feed, checked: bool) -> list[StepReport]:
    """A run whose ranks feed what `feed` makes of a leaf's blocks."""
    learn = trainer.loop.learn
    trainer.loop.learn = lambda run, state, step, leaf, blocks: learn(run, state, step, leaf, feed(step, leaf, blocks))
    return run_to_the_end(group, settings, checked)


def train_with_the_slice_of_rank_0(group: Group, settings: Settings) -> list[StepReport]:
    """In one step every rank fetches what rank 0 should feed, and takes it for its own."""
    return run_to_the_end(group, settings, checked=False, misled=replace(group, rank=0))


def run_to_the_end(group: Group, settings: Settings, checked: bool, misled: Group | None = None) -> list[StepReport]:
    if not checked:
        trainer.loop.check_fed = lambda step, facts: None
    run, state = open_run(group, settings)
    work = my_work(kept_steps(settings), group, settings.trainer.leaf_blocks)
    if misled is not None:
        work[BROKEN] = my_work(kept_steps(settings), misled, settings.trainer.leaf_blocks)[BROKEN]
    trainer.loop.train(run, state, work)
    if group.leads:
        run.saver.save(state)
    reports: list[StepReport] = run.reporter.reports  # type: ignore[attr-defined]
    return reports


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A planned world, and its steps where the ranks find them."""
    tokenizer = write_tokenizer(tmp_path / "tokenizer.json")
    world = World(documents=42, tokenizer=file_sha256(str(tokenizer)))
    world.publish()
    world.clean()
    world.pack()
    world.seal()
    world.plan_steps(step_blocks=4)
    world.plan[0] = world.plan[0].model_copy(update={"cluster": SOURCE.cluster, "topics": SOURCE.topics})
    (tmp_path / "plan.pickle").write_bytes(pickle.dumps([(step, fetched(world, step)) for step in world.planned()]))
    return world


def fetched(world: World, step: Step) -> list[Fetched]:
    return [
        Fetched(Coordinate(BLOCKS, run.partition, at), 0, world.blocks[run.partition][at].value)
        for run in step.blocks
        for at in range(run.first, run.last + 1)
        if world.blocks[run.partition][at]
    ]


def verify(world: World, settings: Settings, ranks: list[Any]) -> dict[str, str]:
    """What verify finds in what the trainer reported and saved: the first example of each kind."""
    for answer in ranks:
        if isinstance(answer, Exception):
            raise answer
    world.steps = ranks[0]
    world.manifests = read_manifests(settings.checkpoint_dir / settings.trainer.run, Findings())
    assert len(world.manifests) == 2, "the first and the last"
    report = world.verify()
    return {finding["kind"]: finding["examples"][0] for finding in report.wrong()}


def test_a_sound_trainer_verifies(world: World, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    assert verify(world, settings, on_ranks(2, train, settings, as_planned, True)) == {}
    assert world.verify().headline == "lost 0  duplicated 0  in flight 0"


def test_a_trainer_that_skips_a_block_is_named(world: World, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    found = verify(world, settings, on_ranks(2, train, settings, skip_a_block, False))
    first = world.planned()[BROKEN].blocks[0]
    assert f"step {BROKEN} of attempt" in found["not_fed"]
    assert f"tokens.blocks[{first.partition}]@{first.first} was left out" in found["not_fed"]
    assert world.verify().lost > 0


def test_a_trainer_that_feeds_a_block_twice_is_named(world: World, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    found = verify(world, settings, on_ranks(2, train, settings, feed_a_block_twice, False))
    first = world.planned()[BROKEN].blocks[0]
    assert f"tokens.blocks[{first.partition}]@{first.first} was fed twice" in found["fed_twice"]
    assert world.verify().duplicated > 0


def test_a_rank_that_feeds_the_slice_of_another_is_named(world: World, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    found = verify(world, settings, on_ranks(2, train_with_the_slice_of_rank_0, settings))
    assert f"step {BROKEN} of attempt" in found["wrong_fed"]
    assert "leaf 0 was fed in place of leaf 1" in found["wrong_fed"]
    assert world.verify().lost > 0


@pytest.mark.parametrize("feed", [skip_a_block, feed_a_block_twice])
def test_the_trainers_own_check_stops_it_before(feed: Feed, world: World, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    answers = on_ranks(2, train, settings, feed, True)
    assert all(isinstance(answer, ContractError) and f"step {BROKEN}" in str(answer) for answer in answers)
