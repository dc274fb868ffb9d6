"""Promise 3, kept and broken: every block stands in the plan exactly once."""

import dataclasses

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from headrace.audit.report import Report
from headrace.contract.plan import Step
from tests.unit.audit.pieces import Packed
from tests.unit.audit.world import World, replan


def kinds(report: Report) -> dict[str, int]:
    return {finding["kind"]: finding["count"] for finding in report.wrong()}


def examples(report: Report, kind: str) -> str:
    return "\n".join(next(finding["examples"] for finding in report.wrong() if finding["kind"] == kind))


def test_a_block_that_the_plan_goes_past_is_lost() -> None:
    world = World.whole()
    step = world.planned()[4]
    run, *others = step.blocks
    assert run.records > 1
    world.plan = replan(world.plan, 4, blocks=(run._replace(first=run.first + 1, records=run.records - 1), *others))
    report = world.verify()
    assert f"goes past tokens.blocks[{run.partition}]@{run.first}" in examples(report, "not_planned")
    assert report.lost > 0
    assert {"not_planned", "wrong_run", "plan_sums"} <= set(kinds(report))


def test_a_block_that_is_planned_twice_is_duplicated() -> None:
    world = World.whole()
    before, step = world.planned()[3], world.planned()[4]
    last = before.blocks[0].last
    run, *others = step.blocks
    world.plan = replan(world.plan, 4, blocks=(run._replace(first=last, records=run.records + 1), *others))
    report = world.verify()
    assert f"tokens.blocks[{run.partition}]@{last} stands in the plan before" in examples(report, "planned_twice")
    assert report.duplicated > 0


def test_a_whole_step_that_is_planned_again_is_duplicated() -> None:
    world = World.whole()
    last = world.planned()[-1]
    world.plan.append(
        last.model_copy(
            update={
                "seq": last.seq + 1,
                "step": last.step + 1,
                "tokens_before": last.tokens_before + last.tokens,
            }
        )
    )
    report = world.verify()
    assert kinds(report) == {"planned_twice": last.block_count}
    assert report.duplicated > 0


def test_a_record_that_is_missing_is_a_gap_and_its_blocks_are_lost() -> None:
    world = World.whole()
    index = next(at for at, one in enumerate(world.plan) if isinstance(one, Step) and one.step == 5)
    lost = world.plan[index].block_count
    world.plan[index] = None
    report = world.verify()
    assert kinds(report)["plan_gap"] == 2, "seq and step"
    assert "has seq 7, 6 comes next" in examples(report, "plan_gap")
    assert kinds(report)["not_planned"] == lost


def test_a_plan_without_its_origin_is_a_gap() -> None:
    world = World.whole()
    world.plan[0] = None
    assert kinds(world.verify()) == {"plan_gap": 1}


def test_a_second_origin_is_a_gap() -> None:
    world = World.whole()
    world.plan.append(world.plan[0])
    assert kinds(world.verify()) == {"plan_gap": 1}


@pytest.mark.parametrize(
    "change", [{"tokens": 3}, {"tokens_before": 5}, {"next": {0: 1, 1: 2}}, {"next": {0: 10_000, 1: 10_000, 2: 5}}]
)
def test_wrong_sums_are_named(change: dict[str, object]) -> None:
    world = World.whole()
    world.plan = replan(world.plan, 3, **change)
    report = world.verify()
    assert "train.plan[0]@8, step 3: " in examples(report, "plan_sums")


def test_next_may_name_partitions_that_have_no_block_yet() -> None:
    world = World.whole()
    last = world.planned()[-1]
    world.plan = replan(world.plan, last.step, next={**last.next, 7: 0})
    assert world.verify().wrong() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"records": 9}, "names 9 records"),
        ({"digest": "00" * 16}, "has digest 0000"),
        ({"last": 9_999}, "to 9999"),
        ({"first": 9_000, "last": 9_999}, "there are 0, from None"),
        ({"partition": 5}, "has no partition 5"),
    ],
)
def test_a_run_that_is_not_what_it_says_is_named(change: dict[str, object], said: str) -> None:
    world = World.whole()
    last = world.planned()[-1]
    run, *others = last.blocks
    world.plan = replan(world.plan, last.step, blocks=(*others, run._replace(**change)))
    assert said in examples(world.verify(), "wrong_run")


def test_runs_out_of_order_are_named() -> None:
    world = World.whole()
    step = world.planned()[2]
    assert len(step.blocks) == 2
    world.plan = replan(world.plan, 2, blocks=step.blocks[::-1])
    report = world.verify()
    assert "runs of partitions [1, 0], not one for each in order" in examples(report, "wrong_run")


def test_a_block_of_another_tokenizer_is_named() -> None:
    world = World.until_clean()
    world.pack()
    at = next(at for at, packed in enumerate(world.blocks[1]) if packed)
    world.blocks[1][at] = Packed.of(dataclasses.replace(world.blocks[1][at].block, tokenizer="u" * 64))
    report = world.finish().verify()
    assert kinds(report) == {"other_tokenizer": 1}
    assert "uuuu" in examples(report, "other_tokenizer")
    assert "tttt" in examples(report, "other_tokenizer")


def test_blocks_behind_the_plan_are_in_flight() -> None:
    world = World.until_clean()
    world.pack()
    world.seal()
    world.plan_steps()
    cut = world.plan.index(world.planned()[8])
    world.plan = world.plan[:cut]
    world.train()
    report = world.verify()
    assert report.wrong() == []
    plan, train = report.rows()[2:]
    assert plan["entered"] == 67 == plan["left"] + plan["in_flight"]
    assert report.in_flight == plan["in_flight"] > 0
    assert train["entered"] == train["left"] == plan["left"]


def test_without_a_plan_all_blocks_are_in_flight() -> None:
    world = World.until_clean()
    world.pack()
    world.seal()
    report = world.verify()
    assert report.holds
    assert report.headline == "lost 0  duplicated 0  in flight 67"


@profile(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_log_that_loses_one_record_does_not_hold(data: st.DataObject) -> None:
    """Whichever record of whichever log is taken away, verify notices it."""
    world = World.whole()
    logs = [*world.raw.values(), *world.clean_log.values(), *world.rejected.values(), *world.blocks.values()]
    log = data.draw(st.sampled_from([*logs, world.plan, world.windows]))
    places = [at for at, one in enumerate(log) if one is not None]
    log[data.draw(st.sampled_from(places))] = None
    report = world.verify()
    report.settled = True
    assert not report.holds
