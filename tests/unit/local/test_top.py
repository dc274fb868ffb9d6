"""`headrace top`: rates between two looks, the stage that lags, the parts that are down, and the pace of training."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.cli.top import PACE_S, Look, pace, screen
from headrace.contract.errors import DependencyError
from headrace.contract.topics import BLOCKS, CLEAN, PLAN, RAW, REJECTED
from headrace.contract.training import StepReport
from headrace.local.state import PartState, State
from headrace.local.status import Status, Stream


def step(number: int, at_s: float, loss: float = 5.0) -> StepReport:
    values: dict[str, Any] = {"run": "main", "attempt": "a", "fed": "", "grad_norm": 1.0, "learning_rate": 0.1}
    values |= {"skipped": False, "seconds": {}, "sources": {}, "ranks": 3, "age_s": 2.5, "loss": loss}
    values |= {"seq": number + 1, "step": number, "time": int(at_s * 1000)}
    return StepReport(tokens=600, tokens_total=600 * number, **values)


def seen_at(now: float, published: int, lag: int = 0, **states: Any) -> Look:
    parts = tuple(PartState(name, state) for name, state in states.items())
    topics = {RAW: published, CLEAN: 10, REJECTED: 2, BLOCKS: 5, PLAN: 3}
    stream = Stream(topics, {"clean": lag, "tokenize": 0, "planner": 0, "trainer": 0}, None, None, None)
    status = Status(State(1, "running", 0.0, {}, parts), stream, {"clean": "RUNNING"}, {}, ("the disk is full",))
    return Look(now, status, [step(number, 90 + number, 6 - number / 10) for number in range(10)])


def text(now: Look, before: Look | None) -> str:
    written = io.StringIO()
    Console(file=written, width=120).print(screen(now, before))
    return written.getvalue()


def test_a_screen_says_what_passes_and_what_is_wrong() -> None:
    said = text(seen_at(102.0, 300, lag=70, broker="running", planner="failed"), seen_at(100.0, 100))
    row = next(line for line in said.splitlines() if RAW in line)
    assert "300" in row
    assert "100 /s" in row
    assert "70 before clean" in row
    assert "● broker" in said
    assert "● job clean" in said
    assert "the disk is full" in said
    assert "5.100" in said
    assert "▁" in said
    assert "3 ranks" in said
    assert "2.5 s" in said


def test_the_first_screen_has_no_rates() -> None:
    assert "/s" not in next(line for line in text(seen_at(1.0, 5), None).splitlines() if RAW in line)


def test_pace_is_that_of_the_last_steps() -> None:
    old = [step(number, number) for number in range(5)]
    assert pace([*old, step(6, 1000), step(7, 1000 + PACE_S / 3), step(8, 1000 + PACE_S / 2)]) == 2 * 600 / (PACE_S / 2)
    assert pace([step(1, 5)]) == 0


def test_where_nothing_runs_it_says_so(tmp_path: Any) -> None:
    done = CliRunner().invoke(app, ["top", "--looks", "1", "--set", f"local.data_dir={tmp_path}"])
    assert isinstance(done.exception, DependencyError)
