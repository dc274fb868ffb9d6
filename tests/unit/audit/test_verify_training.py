"""Promise 4, kept and broken: trainers that feed something else than the plan, and checkpoints that do not fit it."""

import pytest

from headrace.audit.findings import Findings
from headrace.audit.gradient import check_manifests
from headrace.audit.report import Report
from headrace.audit.verify import verify
from headrace.contract.digests import FED_START
from headrace.contract.plan import Step
from headrace.contract.settings import Settings
from headrace.contract.topics import CLEAN, RAW
from headrace.contract.training import Manifest
from tests.unit.audit.pieces import RUN, manifest_of, report_of
from tests.unit.audit.world import World, change_report


def kinds(report: Report) -> dict[str, int]:
    return {finding["kind"]: finding["count"] for finding in report.wrong()}


def examples(report: Report, kind: str) -> str:
    return "\n".join(next(finding["examples"] for finding in report.wrong() if finding["kind"] == kind))


def planned() -> World:
    world = World.until_clean()
    world.pack()
    world.seal()
    world.plan_steps()
    return world


def only_in(step: int, digests: list[bytes], otherwise: list[bytes], now: Step) -> list[bytes]:
    return otherwise if now.step == step else digests


def test_a_trainer_that_skips_a_block_is_named() -> None:
    world = planned()
    step = world.planned()[-2]
    world.train(feed=lambda now, digests: only_in(step.step, digests, [digests[0], *digests[2:]], now))
    report = world.verify()
    skipped = step.blocks[0].first + 1
    assert f"tokens.blocks[0]@{skipped} was left out" in examples(report, "not_fed")
    assert f"step {step.step} of attempt b" in examples(report, "not_fed")
    assert report.lost > 0
    assert not report.holds


def test_a_trainer_that_feeds_a_block_twice_is_named() -> None:
    world = planned()
    step = world.planned()[-2]
    world.train(feed=lambda now, digests: only_in(step.step, digests, [digests[0], *digests], now))
    report = world.verify()
    assert f"tokens.blocks[0]@{step.blocks[0].first} was fed twice" in examples(report, "fed_twice")
    assert report.duplicated > 0


def test_a_trainer_whose_rank_feeds_the_slice_of_another_is_named() -> None:
    world = planned()
    step = world.planned()[-2]
    world.train(
        feed=lambda now, digests: only_in(step.step, digests, [*digests[2:4], *digests[2:4], *digests[4:]], now)
    )
    report = world.verify()
    assert "leaf 1 was fed in place of leaf 0" in examples(report, "wrong_fed")
    assert report.lost > 0


def test_a_trainer_that_feeds_what_was_never_planned_is_named() -> None:
    world = planned()
    step = world.planned()[-2]
    world.train(feed=lambda now, digests: only_in(step.step, digests, [bytes(16)], now))
    report = world.verify()
    assert "what was fed is unknown" in examples(report, "wrong_fed")
    assert report.lost > 0


def test_a_trainer_that_skips_a_step_is_named() -> None:
    """Neither fed nor reported: the next step's `fed` shows it."""
    world = planned()
    gone = world.plan.pop(world.plan.index(world.planned()[-2]))
    world.train()
    world.plan.insert(-2, gone)
    report = world.verify()
    assert "wrong_fed" in kinds(report)
    assert not report.holds


def test_each_attempt_that_goes_wrong_is_named_once() -> None:
    world = planned()
    world.train(feed=lambda now, digests: digests[1:])
    report = world.verify()
    attempts = examples(report, "not_fed") + examples(report, "wrong_fed")
    assert "step 0 of attempt a" in attempts
    assert "of attempt b" in attempts


def test_a_repeated_step_with_another_loss_is_named_in_canonical_reduction() -> None:
    world = World.whole()
    again = next(at for at, one in enumerate(world.steps) if one.attempt == "b" and one.kind == "step")
    loss = world.steps[again].loss
    change_report(world.steps, again, loss=loss * (1 + 2**-52))
    report = world.verify()
    assert kinds(report) == {"other_loss": 1}
    world.manifests = [
        one.model_copy(update={"settings": {"reduction": "plain", "leaf_blocks": 2}}) for one in world.manifests
    ]
    assert world.verify().wrong() == []


def test_another_loss_is_no_fault_on_another_machine() -> None:
    """Bits are promised within one fingerprint only; the trainer warns, or refuses, when it resumes on another."""
    world = World.whole()
    again = next(at for at, one in enumerate(world.steps) if one.attempt == "b" and one.kind == "step")
    change_report(world.steps, again, loss=0.5)
    assert kinds(world.verify()) == {"other_loss": 1}
    world.manifests[-1] = world.manifests[-1].model_copy(update={"fingerprint": {"device": "other"}})
    assert world.verify().wrong() == []


def test_a_repeated_step_whose_loss_is_no_number_is_the_same() -> None:
    world = World.whole()
    again = next(one for one in world.steps if one.attempt == "b" and one.kind == "step")
    for at, one in enumerate(world.steps):
        if one.kind == "step" and one.step == again.step:
            change_report(world.steps, at, loss=float("nan"))
    assert world.verify().wrong() == []


def test_an_attempt_that_applies_a_step_again_is_named() -> None:
    world = World.whole()
    at = next(at for at, one in enumerate(world.steps) if one.step == 3)
    world.steps.insert(at + 1, world.steps[at])
    report = world.verify()
    assert kinds(report) == {"step_twice": 1}
    assert report.duplicated == 1


@pytest.mark.parametrize("change", [{"seq": 9_000}, {"tokens_total": 1}, {"step": 9_000}])
def test_a_report_that_contradicts_the_plan_is_named(change: dict[str, int]) -> None:
    world = World.whole()
    at = len(world.steps) - 2
    change_report(world.steps, at, **change)
    assert kinds(world.verify()) == {"wrong_report": 1}


def test_an_idle_report_with_a_wrong_fed_is_named() -> None:
    world = World.whole()
    change_report(world.steps, len(world.steps) - 1, fed="00" * 16)
    assert kinds(world.verify()) == {"wrong_fed": 1}


@pytest.mark.parametrize("change", [{"seq": 3}, {"tokens": 1}, {"cluster": "d"}, {"tokenizer": "u"}, {"topics": {}}])
def test_a_manifest_that_contradicts_the_plan_is_named(change: dict[str, object]) -> None:
    world = World.whole()
    world.manifests[1] = world.manifests[1].model_copy(update=change)
    report = world.verify()
    assert kinds(report) == {"wrong_manifest": 1}
    assert "manifest step-0000000004 of run main" in examples(report, "wrong_manifest")


def test_a_manifest_with_a_wrong_fed_is_named() -> None:
    world = World.whole()
    world.manifests[2] = world.manifests[2].model_copy(update={"fed": "00" * 16})
    assert kinds(world.verify()) == {"wrong_fed": 1}


def test_a_manifest_of_a_step_that_was_never_planned_is_named() -> None:
    world = World.whole()
    last = world.manifests[-1]
    world.manifests.append(manifest_of("b", 900, 899, 1, FED_START, f"step-{last.step:010d}"))
    assert kinds(world.verify()) == {"wrong_manifest": 1}


def test_a_gap_in_the_ancestry_is_named() -> None:
    world = World.whole()
    del world.manifests[1]
    report = world.verify()
    assert kinds(report) == {"no_ancestry": 1}
    assert "step-0000000004" in examples(report, "no_ancestry")


def test_ancestors_that_go_round_or_end_early_are_named() -> None:
    world = World.whole()
    world.manifests[1] = world.manifests[1].model_copy(update={"parent": "step-0000000008"})
    assert kinds(world.verify()) == {"no_ancestry": 1}
    world.manifests[1] = world.manifests[1].model_copy(update={"parent": None})
    assert kinds(world.verify()) == {"no_ancestry": 1}


def begun_from_main(world: World, **changes: object) -> tuple[Findings, list[Manifest]]:
    """What is wrong with a run that began from a checkpoint of the world's run, and its manifests."""
    planned = verify(world.logs(), world.manifests, RUN, Settings(), Findings())[1]
    begun, later = world.manifests[2:4]
    first = begun.model_copy(update={"run": "warm", "parent": f"{RUN}/step-{begun.step:010d}", **changes})
    second = later.model_copy(update={"run": "warm", "parent": f"step-{first.step:010d}"})
    findings = Findings()
    check_manifests([first, second], planned, findings, {RUN: world.manifests}.__getitem__)
    return findings, [first, second]


def test_a_run_that_began_from_a_checkpoint_of_another_has_its_ancestry() -> None:
    world = World.whole()
    assert begun_from_main(world)[0].tallies == {}
    for wrong in ({"weights": "others"}, {"parent": f"{RUN}/step-0000000099"}, {"parent": None}, {"parent": "warm/x"}):
        assert set(begun_from_main(world, **wrong)[0].tallies) == {"no_ancestry"}, wrong
    assert set(begun_from_main(world, fed="00" * 16)[0].tallies) == {"wrong_fed"}
    del world.manifests[1]
    assert set(begun_from_main(World.whole(), parent=f"{RUN}/step-0000000004")[0].tallies) == {"no_ancestry"}


def test_a_run_without_manifests_is_named() -> None:
    world = World.whole()
    world.manifests = []
    assert kinds(world.verify()) == {"no_ancestry": 1}


def test_other_runs_are_left_alone() -> None:
    world = World.whole()
    world.steps.append(report_of(world.planned()[0], "x", bytes(16), run="other"))
    assert world.verify().wrong() == []


def test_what_the_run_has_not_come_to_is_in_flight() -> None:
    world = planned()
    whole = world.plan
    world.plan = whole[: whole.index(world.planned()[10])]
    world.train()
    world.plan = whole
    report = world.verify()
    assert report.wrong() == []
    train = report.rows()[3]
    assert train["entered"] == 67 == train["left"] + train["in_flight"]
    assert report.in_flight == train["in_flight"] > 0
    assert report.trained == 10


def test_a_run_that_started_again_has_to_train_once_more_what_was_not_saved() -> None:
    world = World.whole()
    first_of_b = next(at for at, one in enumerate(world.steps) if one.attempt == "b")
    steps_of_a = world.steps[first_of_b - 1].step + 1
    world.steps = world.steps[: first_of_b + 1]
    position = world.steps[-1].step + 1
    world.manifests = [one for one in world.manifests if one.step <= position]
    report = world.verify()
    assert report.wrong() == []
    assert report.trained == position < steps_of_a


def test_a_run_that_never_started_has_trained_nothing() -> None:
    world = planned()
    report = world.verify()
    assert report.run == RUN
    assert report.headline == "lost 0  duplicated 0  in flight 67"
    assert (report.trained, report.saved) == (0, None)


def test_a_deployment_that_never_started_holds() -> None:
    world = World(documents=0)
    world.passed = {RAW: {}, CLEAN: {}}
    report = world.verify()
    assert report.holds
    assert report.headline == "lost 0  duplicated 0  in flight 0"
