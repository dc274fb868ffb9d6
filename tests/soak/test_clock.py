"""The machine's clock is set back, and forward, while documents come: nothing is lost.

Every process of the stack, Java's too, takes its wall clock from a file of this test (`clock.c`); needs a C compiler.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from headrace.audit.verify import verify_deployment
from headrace.contract.settings import ROOT, Settings
from headrace.local.stack import Stack
from headrace.local.status import look
from tests.clock import build_clock, clock_of, set_clock
from tests.small_stack import assert_each_trained_once, make_settings

pytestmark = pytest.mark.timeout(1800)
LONG = -3 * 3600
"""Longer than the test waits, and than the hour that a broker allows a record to be ahead of it."""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the seconds by which every process that is started from now on is off."""
    if (environment := build_clock(tmp_path)) is None:
        pytest.skip("needs a C compiler (cc)")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "offset"


def published_at(settings: Settings, count: int) -> None:
    """Documents from a process that has the stack's clock, not this one's."""
    program = f"from tests.small_stack import *; publish(load().settings, {count})"
    environment = {**os.environ, **settings.environment(), "PYTHONPATH": str(ROOT), "HEADRACE_CONFIG": os.devnull}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=300)


def assert_only_the_open_window_waits(settings: Settings) -> None:
    """Nothing is lost, what was published last is trained, and what the open windows held waits for their end."""
    report = verify_deployment(settings, "main", 60, lambda records: lambda more: None)
    assert report.holds, report.as_json()
    assert (report.lost, report.duplicated) == (0, 0)
    assert report.in_flight <= 20


def test_a_clock_that_is_set_loses_nothing(clock: Path, jars_there: None, tmp_path: Path) -> None:
    with Stack(make_settings(tmp_path / "data")) as stack:
        stack.wait_running(600)
        published_at(stack.settings, 40)
        assert_each_trained_once(stack.settings)
        before = {name: stack.pids[name] for name in ("broker", "jobmanager", "taskmanager", "planner", "rank0")}
        for seconds in (-30, LONG, 0):
            published_at(stack.settings, 20)
            set_clock(clock, seconds)
            if seconds:
                there = clock_of(psutil.Process(stack.pids["taskmanager"]))
                here = clock_of(psutil.Process())  # has none of this
                assert abs(there - here - seconds) < 20
            published_at(stack.settings, 40)
            if seconds == LONG:
                assert_only_the_open_window_waits(stack.settings)
            else:
                assert_each_trained_once(stack.settings)
            seen = look(stack.state())
            assert seen.exit_code == 0, seen.problems
        assert {name: stack.pids[name] for name in before} == before, "nothing was started again"
