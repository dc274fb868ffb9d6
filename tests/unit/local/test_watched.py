"""A part under watch: which ends lead to a restart, after which pause, and what is said about it."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from headrace.local import process
from headrace.local.process import Part
from headrace.local.state import PartState
from headrace.local.watched import HEALTHY_S, QUICK_ENDS, Watched, pause_s


def watched(folder: Path, program: str, name: str = "part") -> Watched:
    return Watched(Part(name, (sys.executable, "-c", program)), folder, PartState(name), final=(2, 4))


def run_to_end(part: Watched, now: float) -> None:
    part.start(now)
    assert part.process is not None
    part.process.wait(30)
    part.ended(now)


def test_an_end_leads_to_a_restart_after_a_growing_pause(tmp_path: Path) -> None:
    part = watched(tmp_path, "print('all that it said'); raise SystemExit(1)")
    run_to_end(part, 100.0)
    assert (part.state.state, part.state.restarts, part.state.exit_code) == ("restarting", 1, 1)
    assert part.state.error == ("all that it said",)
    assert part.not_before == 101.0
    run_to_end(part, 110.0)
    assert part.not_before == 112.0
    assert [pause_s(ends) for ends in (1, 2, 3, 5, 6, 10)] == [1, 2, 4, 16, 30, 30]


def test_a_long_run_starts_the_pauses_anew(tmp_path: Path) -> None:
    part = watched(tmp_path, "raise SystemExit(3)")
    for _ in range(4):
        run_to_end(part, 100.0)
    assert part.not_before == 108.0
    part.start(200.0)
    part.runs(201.0)
    assert part.process is not None
    part.process.wait(30)
    part.ended(201.0 + HEALTHY_S)
    assert part.not_before == 202.0 + HEALTHY_S


@pytest.mark.parametrize("code", [2, 4])
def test_an_exit_code_that_a_restart_cannot_mend_is_final(tmp_path: Path, code: int) -> None:
    part = watched(tmp_path, f"print('which contract'); raise SystemExit({code})")
    run_to_end(part, 1.0)
    assert (part.state.state, part.state.exit_code, part.state.restarts) == ("failed", code, 0)
    assert part.state.error == ("which contract",)


def test_quick_ends_in_a_row_are_limited(tmp_path: Path) -> None:
    part = watched(tmp_path, "raise SystemExit(1)")
    for count in range(1, QUICK_ENDS + 1):
        run_to_end(part, 1.0)
        assert part.state.state == ("failed" if count == QUICK_ENDS else "restarting")
    part.again(2.0)
    assert (part.state.state, part.quick_ends) == ("waiting", 0)


def test_the_error_is_of_this_start_not_of_an_earlier_one(tmp_path: Path) -> None:
    part = watched(tmp_path, "print('first')")
    run_to_end(part, 1.0)
    part.part = Part("part", (sys.executable, "-c", "pass"))
    run_to_end(part, 2.0)
    assert part.state.error == ()


LEAVES_A_CHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


def wait_for_child(part: Watched) -> psutil.Process:
    deadline = time.monotonic() + 30
    while not (lines := part.last_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return psutil.Process(int(lines[0]))


def test_what_a_killed_part_left_behind_is_ended(tmp_path: Path) -> None:
    part, other = watched(tmp_path, LEAVES_A_CHILD), watched(tmp_path, LEAVES_A_CHILD, "other")
    for each in (part, other):
        each.start(1.0)
    child, spared = wait_for_child(part), wait_for_child(other)
    assert part.process is not None
    part.process.send_signal(signal.SIGKILL)
    part.process.wait()
    assert child.is_running()
    part.ended(2.0)
    assert not child.is_running()
    assert spared.is_running()
    other.stop(3.0, grace_s=5)
    assert process.marked(tmp_path) == []


def test_a_part_ends_with_whoever_started_it(tmp_path: Path) -> None:
    starter = f"""
import sys, time
from pathlib import Path
from headrace.local.process import Part, start
start(Part("part", (sys.executable, "-c", "import time; time.sleep(60)")), Path({str(tmp_path)!r}))
print("started", flush=True)
time.sleep(60)
"""
    parent = psutil.Popen([sys.executable, "-c", starter], stdout=-1)
    assert parent.stdout.readline() == b"started\n"
    (child,) = process.marked(tmp_path)
    parent.kill()
    parent.wait()
    assert psutil.wait_procs([child], timeout=10)[1] == []


def test_a_large_log_is_set_aside_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES", 4)
    part = watched(tmp_path, "print('again')")
    run_to_end(part, 1.0)
    run_to_end(part, 2.0)
    assert process.log_path(tmp_path, "part").read_text() == "again\n"
    assert (tmp_path / "logs/part.log.1").read_text() == "again\n"
