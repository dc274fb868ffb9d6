"""How far the plan may lead the main run."""

from hypothesis import given
from hypothesis import strategies as st
from reports import step_report

from headrace.contract.training import MAIN_RUN, CheckpointAnnouncement, IdleReport, StepReport
from services.planner.throttle import Patience, Progress, Throttle


def applied(step: int, run: str = MAIN_RUN) -> StepReport:
    return step_report(run=run, seq=step + 1, step=step)


def idle(step: int, run: str = MAIN_RUN) -> IdleReport:
    return IdleReport(run=run, attempt="a", seq=step + 1, step=step, fed="", time=0)


def saved(step: int, run: str = MAIN_RUN) -> CheckpointAnnouncement:
    return CheckpointAnnouncement(run=run, attempt="a", seq=step + 1, step=step, path="", bytes=0, time=0)


def highest(*progress: Progress) -> int:
    throttle = Throttle(ahead=4)
    for one in progress:
        throttle.observe(one)
    return next(step for step in range(100) if not throttle.allows(step + 1))


def test_before_any_report_the_plan_leads_the_start() -> None:
    assert highest() == 3


def test_a_step_frees_the_one_that_is_four_later() -> None:
    assert highest(applied(0)) == 4


def test_idle_reports_and_checkpoints_name_the_next_step() -> None:
    assert highest(idle(10)) == highest(saved(10)) == highest(applied(9)) == 13


def test_the_first_checkpoint_frees_nothing() -> None:
    assert highest(saved(0)) == highest()


def test_other_runs_do_not_count() -> None:
    assert highest(applied(50, "other"), idle(50, "other"), saved(50, "other")) == 3


@given(st.lists(st.builds(lambda make, step: make(step), st.sampled_from([applied, idle, saved]), st.integers(0, 90))))
def test_it_never_goes_back(progress: list[Progress]) -> None:
    throttle, before = Throttle(ahead=4), -1
    for one in progress:
        throttle.observe(one)
        assert throttle.reported >= before
        before = throttle.reported


def test_what_lasts_is_said_every_so_often() -> None:
    patience = Patience(every_s=30.0)
    said = [(now, patience.lasts(float(now))) for now in range(100, 200, 10)]
    assert [at for at in said if at[1] is not None] == [(130, 30.0), (160, 60.0), (190, 90.0)]
    patience.over()
    assert patience.lasts(195.0) is None
    assert patience.lasts(225.0) == 30.0
