"""What `headrace status` exits with, and what it says, however the machine's clock stands."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.cli.status import show
from headrace.contract.errors import DependencyError
from headrace.contract.settings import load
from headrace.contract.training import IdleReport, StepReport
from headrace.local.state import PartState, State
from headrace.local.status import Status, Stream, ago, troubles_of_runs

RUNNING = {"clean": "RUNNING", "tokenize": "RUNNING"}


def look(*parts: PartState, jobs: dict[str, str] | None = None, problems: tuple[str, ...] = ()) -> Status:
    environment = load(environment={"HEADRACE_CONFIG": os.devnull}).settings.environment()
    known = {"HEADRACE_LOCAL__DATA_DIR": "/data", "HEADRACE_KAFKA__BROKERS": "here:1"}
    return Status(State(1, "running", 100.0, {**environment, **known}, parts), None, jobs, {"kafka": 5 << 30}, problems)


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        (0, look(PartState("broker", "running"), jobs=RUNNING)),
        (1, look(PartState("broker", "restarting", exit_code=1), jobs=RUNNING)),
        (1, look(PartState("broker", "failed", exit_code=2), jobs=RUNNING)),
        (1, look(PartState("broker", "running"), jobs={**RUNNING, "clean": "RESTARTING"})),
        (1, look(PartState("broker", "running"), jobs=RUNNING, problems=("disk full",))),
        (4, look(PartState("jobs", "failed", exit_code=4), jobs=RUNNING)),
    ],
)
def test_the_exit_code_says_how_it_is(code: int, seen: Status) -> None:
    assert seen.exit_code == code
    assert seen.as_json(200.0)["exit_code"] == code


def test_nothing_running_is_three(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--json", "--set", f"local.data_dir={tmp_path / 'none'}"])
    assert result.exit_code == 3
    assert orjson.loads(result.output) == {
        "phase": "down",
        "running": False,
        "exit_code": 3,
        "data_dir": str(tmp_path / "none"),
    }
    assert not (tmp_path / "none").exists()


def test_a_named_broker_that_does_not_answer_is_three(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["status", "--brokers", "127.0.0.1:1", "--set", f"local.data_dir={tmp_path}"])
    assert isinstance(result.exception, DependencyError), result.output
    assert "127.0.0.1:1" in str(result.exception)


def test_no_age_is_negative_when_the_clock_was_set_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert ago(1000.0, 1000_000 + 3_600_000) == 0.0
    part = PartState("broker", "running", since=5000.0)
    seen = look(part, jobs=RUNNING)
    assert seen.as_json(1400.0)["parts"][0]["for_s"] == 0.0
    show(seen, 1400.0 - 3600)
    said = capsys.readouterr().out
    assert "0 s" in said
    assert "-" not in said


def test_an_idle_run_has_trained_the_step_before_the_next(tmp_path: Path) -> None:
    idle = IdleReport(run="main", attempt="a", seq=8, step=7, fed="", time=1000)
    assert Stream({}, {}, None, None, idle).trained_step == 6
    assert Stream({}, {}, None, None, idle.model_copy(update={"step": 0})).trained_step is None
    assert Stream({}, {}, None, None, None).trained_step is None
    step = StepReport(
        run="main", attempt="a", seq=5, step=4, fed="", loss=1.0, tokens=1, tokens_total=1, grad_norm=1.0,
        learning_rate=1.0, skipped=False, seconds={}, age_s=1.0, sources={}, ranks=1, time=1000,
    )  # fmt: skip
    told = Stream({"text.raw": 1}, {"trainer": 2}, None, step, step).as_json(61.0)
    assert (told["trained_step"], told["trained_age_s"]) == (4, 60.0)


def test_a_main_run_that_nobody_trains_is_trouble_and_named_with_the_way_out() -> None:
    now = 1000.0
    seen = look(PartState("planner", "running"), PartState("trainer", "running"), PartState("trainer@slow", "running"))
    fresh = IdleReport(run="elsewhere", attempt="a", seq=1, step=5, fed="", time=990_000, save_error="disk full")
    dead = fresh.model_copy(update={"run": "dead", "time": 1000, "save_error": "long ago"})
    for main in ("main", "slow", "elsewhere"):
        assert troubles_of_runs(Stream({}, {}, None, None, None, main, (fresh, dead)), seen.state, now) == ["disk full"]
    *errors, trouble = troubles_of_runs(Stream({}, {}, None, None, dead, "dead", (fresh,)), seen.state, now)
    assert errors == ["long ago", "disk full"], "what the main run said last counts, however old"
    assert "nobody trains the main run, dead" in trouble
    assert "`headrace runs promote` one that is trained: elsewhere" in trouble
    nothing_waits = look(PartState("broker", "running")).state
    assert troubles_of_runs(Stream({}, {}, None, None, None), nothing_waits, now) == []
