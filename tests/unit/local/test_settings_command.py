"""`headrace settings` says where each value came from, and what a running stack has instead."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headrace.cli.main import app
from headrace.contract.settings import load
from headrace.local import state
from headrace.local.state import State


def settings(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["settings", *arguments], env={"COLUMNS": "400"})
    assert result.exit_code == 0, result.output
    return result


def test_each_value_comes_with_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[trainer]\nranks = 3\nseed = 5\n[planner]\nahead = 9\n")
    monkeypatch.setenv("HEADRACE_TRAINER__RANKS", "4")
    monkeypatch.setenv("HEADRACE_PLANNER__AHEAD", "8")
    said = settings("--json", "--config", str(file), "--set", "planner.ahead=7")
    rows = {row["key"]: (row["value"], row["origin"]) for row in json.loads(said.output)}
    assert rows["trainer.seed"] == (5, str(file))
    assert rows["trainer.ranks"] == (4, "environment HEADRACE_TRAINER__RANKS")
    assert rows["planner.ahead"] == (7, "--set")
    assert rows["planner.step_blocks"] == (8, "default")


def test_a_password_in_an_address_is_masked() -> None:
    said = settings("--json", "--config", os.devnull, "--set", "flink.rest=http://me:5esame@flink:8081").output
    assert "5esame" not in said
    assert "http://***@flink:8081" in said


def test_what_the_running_stack_has_instead_is_named(tmp_path: Path) -> None:
    here = ["--config", os.devnull, "--set", f"local.data_dir={tmp_path}", "--set", "planner.ahead=6"]
    assert "the running stack" not in settings(*here).output
    values = ["trainer.ranks=3", "planner.ahead=6", f"local.data_dir={tmp_path}", "kafka.brokers=127.0.0.1:5"]
    started = load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=values).settings
    lock = state.try_lock(tmp_path)
    assert lock is not None
    state.write(State(os.getpid(), "running", 1.0, started.environment(), ()), tmp_path)
    said = settings(*here).output
    os.close(lock)
    assert [line for line in said.splitlines() if line.startswith("the running")] == [
        "the running stack has trainer.ranks = 3, not 2"
    ]
