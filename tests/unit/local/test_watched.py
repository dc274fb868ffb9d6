"""A part under watch: which ends lead to a restart, after which pause, and what is said about it."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from headrace.local import logfiles, process
from headrace.local.process import Part
from headrace.local.state import PartState
from headrace.local.watched import HEALTHY_S, Moment, Watched, pause_s


def watched(folder: Path, program: str, name: str = "part") -> Watched:
    return Watched(Part(name, (sys.executable, "-c", program)), folder, PartState(name), final=(2, 4))


def at(seconds: float, wall: float | None = None) -> Moment:
    return Moment(seconds if wall is None else wall, seconds)


def run_to_end(part: Watched, now: float) -> None:
    part.start(at(now))
    assert part.process is not None
    part.process.wait(30)
    part.ended(at(now))


def test_an_end_leads_to_a_restart_after_a_growing_pause(tmp_path: Path) -> None:
    part = watched(tmp_path, "print('all that it said'); raise SystemExit(1)")
    run_to_end(part, 100.0)
    assert (part.state.state, part.state.restarts, part.state.exit_code) == ("restarting", 1, 1)
    assert part.state.error == ("all that it said",)
    assert part.not_before == 101.0
    run_to_end(part, 110.0)
    assert part.not_before == 112.0
    assert [pause_s(ends) for ends in (0, 1, 2, 3, 5, 6, 10)] == [0, 1, 2, 4, 16, 30, 30]


def test_a_long_run_starts_the_pauses_anew(tmp_path: Path) -> None:
    part = watched(tmp_path, "raise SystemExit(3)")
    for _ in range(4):
        run_to_end(part, 100.0)
    assert part.not_before == 108.0
    part.start(at(200.0))
    part.runs(at(201.0))
    assert part.process is not None
    part.process.wait(30)
    part.ended(at(201.0 + HEALTHY_S))
    assert part.not_before == 201.0 + HEALTHY_S
    run_to_end(part, 300.0)
    assert part.not_before == 301.0


@pytest.mark.parametrize("code", [2, 4])
def test_an_exit_code_that_a_restart_cannot_mend_is_final(tmp_path: Path, code: int) -> None:
    part = watched(tmp_path, f"print('which contract'); raise SystemExit({code})")
    run_to_end(part, 1.0)
    assert (part.state.state, part.state.exit_code, part.state.restarts) == ("failed", code, 0)
    assert part.state.error == ("which contract",)


def test_a_part_is_tried_again_for_ever(tmp_path: Path) -> None:
    part = watched(tmp_path, "raise SystemExit(1)")
    part.quick_ends = 10_000
    run_to_end(part, 1.0)
    assert (part.state.state, part.not_before) == ("restarting", 31.0)
    part.again(at(2.0))
    assert (part.state.state, part.quick_ends, part.not_before) == ("waiting", 0, 2.0)


def test_a_clock_that_is_set_moves_no_pause(tmp_path: Path) -> None:
    part = watched(tmp_path, "raise SystemExit(1)")
    part.start(at(100.0, wall=1e9))
    part.runs(at(101.0, wall=1e9 + 1))
    assert part.process is not None
    part.process.wait(30)
    part.ended(at(102.0, wall=1e9 + 7200))  # two hours forward: it was healthy for one second all the same
    assert (part.quick_ends, part.not_before) == (1, 103.0)
    part.start(at(103.0, wall=1e9 - 7200))
    part.runs(at(103.0, wall=1e9 - 7200))
    assert part.process is not None
    part.process.wait(30)
    part.ended(at(104.0, wall=1e9 - 7200))
    assert (part.quick_ends, part.not_before) == (2, 106.0)


def test_a_part_that_cannot_be_started_waits_like_one_that_ended(tmp_path: Path) -> None:
    part = watched(tmp_path, "pass")
    part.not_started(at(5.0), "No space left on device")
    assert (part.state.state, part.state.error, part.not_before) == ("restarting", ("No space left on device",), 6.0)


def test_a_part_that_is_asked_to_end_gets_its_time(tmp_path: Path) -> None:
    deaf = watched(tmp_path, "import signal, time; signal.signal(15, print); print('deaf'); time.sleep(60)")
    deaf.part = Part("part", (sys.executable, "-uc", deaf.part.command[-1]))
    deaf.start(at(1.0))
    wait_for_lines(deaf)
    deaf.ask_to_end(at(2.0), grace_s=10)
    assert not deaf.gone(at(11.9))
    assert deaf.state.state == "stopping"
    assert deaf.gone(at(12.0))
    assert (deaf.state.state, process.marked(tmp_path)) == ("stopped", [])
    deaf.again(at(12.0))
    assert (deaf.state.state, deaf.state.restarts) == ("waiting", 1)


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


def wait_for_lines(part: Watched) -> tuple[str, ...]:
    deadline = time.monotonic() + 30
    while not (lines := part.last_lines()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return lines


def wait_for_child(part: Watched) -> psutil.Process:
    return psutil.Process(int(wait_for_lines(part)[0]))


def test_what_a_killed_part_left_behind_is_ended(tmp_path: Path) -> None:
    part, other = watched(tmp_path, LEAVES_A_CHILD), watched(tmp_path, LEAVES_A_CHILD, "other")
    for each in (part, other):
        each.start(at(1.0))
    child, spared = wait_for_child(part), wait_for_child(other)
    assert part.process is not None
    part.process.send_signal(signal.SIGKILL)
    part.process.wait()
    assert child.is_running()
    part.ended(at(2.0))
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert spared.is_running()
    other.stop(at(3.0), grace_s=5)
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


def test_the_last_lines_are_found_after_the_log_was_set_aside(tmp_path: Path) -> None:
    part = watched(tmp_path, "print('x' * 100)")
    run_to_end(part, 1.0)
    logfiles.bound(tmp_path, most=4)
    part.part = Part("part", (sys.executable, "-c", "print('after')"))
    part.log_from = 90  # as of a start before
    part.start(at(2.0))
    part.log_from = 90
    assert wait_for_lines(part) == ("after",)
    part.stop(at(3.0), grace_s=5)
