"""The short form of `make chaos`: the most telling faults in one running stack, both verdicts, and the reference."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fault.plan import METADATA, Fault, kill, tear_manifest
from tests.fault.recovery import recovered
from tests.fault.verdict import check_independently, settle, train_reference, verify
from tests.fault.world import World

pytestmark = pytest.mark.timeout(600)
FAULTS = (
    kill("rank1").at("backward", step=3),
    kill("planner").at("write"),
    kill("taskmanager").at(METADATA),
    tear_manifest().then_with(ranks=3),
)
DOCUMENTS = 800


@pytest.fixture(scope="module")
def world(jars_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("faults"), seed=1) as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.subject} at {fault.point}")
def test_it_fires_inside_work_and_all_goes_on(world: World, fault: Fault) -> None:
    _, recovery = recovered(world, fault)
    assert recovery["gradient"] > 0


def test_then_nothing_is_lost_or_doubled_and_the_weights_are_those_of_a_run_without_a_fault(world: World) -> None:
    settle(world, DOCUMENTS)
    train_reference(world.settings, ranks=1)
    verify(world.settings)
    check_independently(world)
