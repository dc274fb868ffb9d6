"""The six promises of docs/guarantees.md, each kept, then broken on purpose, and noticed.

One page to begin with; the files that the guarantees name break each in many more ways.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from fleet_of_tests import (
    Outcome,
    die_while_writing,
    kept_steps,
    make_folder,
    make_settings,
    my_work,
    on_ranks,
    open_run,
    outcome,
    train_until,
)

import trainer.loop
from headrace.contract.plan import Step
from headrace.contract.settings import Settings
from tests.unit.audit.pieces import tokens_of
from tests.unit.audit.world import World, replan
from trainer.group import Group
from trainer.reduce import Canonical

STEPS = 12


def noticed(world: World) -> Counter[str]:
    """Kinds of fault that verify names, with their numbers."""
    return Counter({finding["kind"]: finding["count"] for finding in world.verify().wrong()})


def test_promise_1_accounted_for() -> None:
    """A sink that loses one outcome and writes another twice."""
    world = World.whole()
    assert noticed(world) == {}
    log = world.rejected[1]
    lost, twice, *_ = [at for at, said in enumerate(log) if said and said.stage == "clean"]
    log.append(log[twice])
    log[lost] = None
    assert noticed(world) == {"no_outcome": 1, "two_outcomes": 1}
    assert world.verify().headline == "lost 1  duplicated 1  in flight 0"


def test_promise_2_whole() -> None:
    """A tokenize job that drops a document, and the end of another."""
    world = World.until_clean()
    dropped, cut, *_ = [raw for raw in world.in_blocks()[20:] if len(tokens_of(raw)) > 1]
    world.pack(leave_out=[dropped], keep=lambda raw: list(range(len(tokens_of(raw)) - (raw == cut))))
    found = noticed(world.finish())
    assert found["not_in_blocks"] == found["cut_document"] == 1
    assert world.verify().lost == 2


def test_promise_3_planned_once() -> None:
    """A second, stale planner that was not fenced off: it plans the last block of the step before once more."""
    world = World.whole()
    before, step = world.planned()[3:5]
    run, *others = step.blocks
    again = run._replace(first=before.blocks[0].last, records=run.records + 1)
    world.plan = replan(world.plan, step.step, blocks=(again, *others))
    assert noticed(world)["planned_twice"] == 1
    assert world.verify().duplicated > 0


def test_promise_4_trained_once_in_the_logs() -> None:
    """A trainer whose position is one block ahead of its weights."""

    def feed(step: Step, digests: list[bytes]) -> list[bytes]:
        return digests[1:] if step.step == 9 else digests

    world = World.until_clean()
    for make in (world.pack, world.seal, world.plan_steps):
        make()
    world.train(feed)
    assert noticed(world)["not_fed"] == 1
    assert world.verify().lost > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("runs"), STEPS)


@pytest.fixture(scope="module")
def uninterrupted(folder: Path) -> Outcome:
    return trained(folder, "uninterrupted", 1)


Program = Callable[[Group, Settings, int], Outcome]


def trained(folder: Path, run: str, ranks: int, program: Program = train_until) -> Outcome:
    settings = make_settings(folder, run=run, checkpoint_steps=4)
    first, *others = on_ranks(ranks, program, settings, STEPS)
    assert all(other.weights == first.weights for other in others)
    found: Outcome = first
    return found


def forget_the_moments(group: Group, settings: Settings, stop: int) -> Outcome:
    """Resume with the weights, and an optimizer that begins anew."""
    run, state = open_run(group, settings)
    for slots in state.optimizer.state.values():
        slots["exp_avg"].zero_()
    trainer.loop.train(
        run, state, my_work(kept_steps(settings)[state.step : stop], group, settings.trainer.leaf_blocks)
    )
    return outcome(run, state)


@pytest.mark.parametrize(("program", "kept"), [(train_until, True), (forget_the_moments, False)])
def test_promise_4_trained_once_in_the_weights(
    program: Program, kept: bool, folder: Path, uninterrupted: Outcome
) -> None:
    run = f"killed-{program.__name__}"
    on_ranks(1, die_while_writing, make_settings(folder, run=run, checkpoint_steps=4), 6)
    assert (trained(folder, run, 1, program).weights == uninterrupted.weights) == kept


class ByRanks(Canonical):
    """Sums by rank, as all_reduce makes them."""

    def finish(self) -> torch.Tensor:
        own = sum((node.value for node in self.tree.nodes), torch.zeros(self.width))
        dist.all_reduce(own)
        return own


def sum_by_ranks(group: Group, settings: Settings, stop: int) -> Outcome:
    trainer.loop.REDUCTIONS = {"canonical": ByRanks}
    return train_until(group, settings, stop)


@pytest.mark.parametrize(("program", "kept"), [(train_until, True), (sum_by_ranks, False)])
def test_promise_5_any_size(program: Program, kept: bool, folder: Path, uninterrupted: Outcome) -> None:
    assert (trained(folder, f"three-{program.__name__}", 3, program).weights == uninterrupted.weights) == kept


@pytest.mark.parametrize("name", ["raw", "clean_log", "rejected", "blocks", "windows", "plan"])
def test_promise_6_provable(name: str) -> None:
    """Whichever log loses a record, the proof fails."""
    world = World.whole()
    found = getattr(world, name)
    log = found if isinstance(found, list) else found[1]
    log[next(at for at, record in enumerate(log) if at > len(log) // 3 and record is not None)] = None
    report = world.verify()
    report.settled = True
    assert not report.holds
