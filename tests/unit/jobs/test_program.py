"""The jobs' program as a process: what it answers, and what is said when it cannot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headrace.contract.errors import ContractError, HeadraceError, SettingsError
from headrace.contract.settings import ROOT, Settings, load
from headrace.jobs import CLEAN, JOBS, TOKENIZE, Program, program

STAND_IN = """
import json, os, sys
for line in sys.stdin:
    match json.loads(line):
        case {"job": "tokenize", "expect": "7"}:
            answer = {"error": "state was made by plan 7", "code": 4}
        case {"job": "clean", "describe": True}:
            print("no room left", file=sys.stderr)
            sys.exit(5)
        case request:
            answer = {**request, "pid": str(os.getpid())}
    print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose program is the stand-in."""
    (tmp_path / "flink_jobs").mkdir()
    (tmp_path / "flink_jobs" / "__init__.py").touch()
    (tmp_path / "flink_jobs" / "__main__.py").write_text(STAND_IN)
    monkeypatch.setattr(program, "ROOT", tmp_path)
    return load(environment={"HEADRACE_CONFIG": "/dev/null"}).settings


def test_one_process_answers_for_both_jobs_and_ends(settings: Settings) -> None:
    with Program(settings) as asked, ThreadPoolExecutor() as pool:
        answers = list(pool.map(asked.ask, JOBS))
    assert [answer["job"] for answer in answers] == ["clean", "tokenize"]
    assert len({answer["pid"] for answer in answers}) == 1
    assert asked.process.returncode == 0


def test_a_wrong_setting_is_said_and_not_traced() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flink_jobs"],
        cwd=ROOT,
        env={**os.environ, "HEADRACE_CONFIG": os.devnull, "HEADRACE_PLANNER__AHEAD": "never"},
        input="",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (SettingsError.exit_code, "")
    assert re.fullmatch(r"flink_jobs: .*planner.ahead = 'never'.*\n", done.stderr)


def test_nobody_asked_nothing_started(settings: Settings) -> None:
    with Program(settings) as asked:
        pass
    assert "process" not in vars(asked)


def test_its_errors_are_raised_as_what_they_are_and_it_goes_on(settings: Settings) -> None:
    with Program(settings) as asked:
        with pytest.raises(ContractError, match="job tokenize was not submitted: state was made by plan 7"):
            asked.ask(TOKENIZE, expect="7")
        assert asked.ask(TOKENIZE, expect="8")["expect"] == "8"


def test_one_that_ends_in_the_middle_is_quoted(settings: Settings) -> None:
    with Program(settings) as asked:
        for _ in range(2):
            with pytest.raises(HeadraceError, match=r"exit code 5\nno room left"):
                asked.ask(CLEAN, describe=True)
