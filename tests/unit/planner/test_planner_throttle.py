"""How far the plan may lead the main run."""

from hypothesis import given
from hypothesis import strategies as st
from reports import step_report

from headrace.contract.training import MAIN_RUN, CheckpointAnnouncement, Command, IdleReport, StepReport
from headrace.runs import Told
from services.planner.throttle import Patience, Progress, Throttle


def applied(step: int, run: str = MAIN_RUN) -> StepReport:
    return step_report(run=run, seq=step + 1, step=step)


def idle(step: int, run: str = MAIN_RUN) -> IdleReport:
    return IdleReport(run=run, attempt="a", seq=step + 1, step=step, fed="", time=0)


def saved(step: int, run: str = MAIN_RUN) -> CheckpointAnnouncement:
    return CheckpointAnnouncement(run=run, attempt="a", seq=step + 1, step=step, path="", bytes=0, time=0)


def told(what: str, run: str) -> Command:
    return Command.model_validate({"run": run, "id": what, "command": what, "time": 0})


def highest(*progress: Progress | Command) -> int:
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


def test_it_follows_the_run_that_was_promoted_last_and_knows_where_that_is() -> None:
    both = [applied(20), applied(50, "other")]
    assert highest(*both, told("promote", "other")) == 54
    assert highest(told("promote", "other"), *both) == 54
    assert highest(*both, told("promote", "other"), applied(51), applied(52, "other")) == 56
    assert highest(*both, told("promote", "other"), told("promote", MAIN_RUN)) == 24
    assert highest(*both, told("promote", "late")) == 3


def test_other_commands_promote_nobody() -> None:
    assert highest(applied(20), *(told(what, "other") for what in ("stop", "resume", "checkpoint"))) == 24


def test_compaction_changes_nothing_of_what_was_told() -> None:
    """It keeps the last record of each key, in their order."""
    all_of_them = [told("promote", "b"), told("stop", "b"), told("promote", MAIN_RUN), told("promote", "b"),
                   told("resume", "b"), told("stop", "c")]  # fmt: skip
    kept = list({command.key: command for command in all_of_them}.values())
    last = sorted(kept, key=lambda command: max(i for i, one in enumerate(all_of_them) if one.key == command.key))
    found = []
    for commands in (all_of_them, last):
        found.append(Told())
        for command in commands:
            found[-1].take(command)
    assert found[0] == found[1] == Told({"c"}, "b")


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
