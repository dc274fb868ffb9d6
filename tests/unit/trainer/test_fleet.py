"""A fleet and its ranks: who is started again, who is not, and that nobody is left. The ranks are small programs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from headrace.contract import events, fleet
from headrace.contract.fleet import FleetState
from headrace.contract.settings import ROOT
from trainer.board import Board
from trainer.fleet import HEALTHY_S, IN_VAIN, Patience


class Ranks:
    """A running fleet of small programs."""

    def __init__(self, data_dir: Path, pause_s: float) -> None:
        self.data_dir = data_dir
        values = (f"local.data_dir={data_dir}", "trainer.ranks=2", "trainer.watchdog_s=1")
        program = [sys.executable, str(Path(__file__).with_name("ranks_of_tests.py")), str(pause_s)]
        with (data_dir / "log").open("w") as log:
            self.process = subprocess.Popen(
                [*program, *(word for value in values for word in ("--set", value))],
                env={**os.environ, "HEADRACE_CONFIG": os.devnull, "PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
            )

    def order(self, rank: int, what: str) -> None:
        """From now on, also in later attempts; nothing: obey no order."""
        new = self.data_dir / "order.new"
        new.write_text(what)
        new.rename(self.data_dir / f"order-{rank}")

    def run(self, restarts: int = 0) -> FleetState:
        """What the fleet says once all ranks run, after so many restarts."""

        def there() -> bool:
            said = fleet.read(self.data_dir, "main")
            up = said is not None and [pid for pid in said.ranks if (self.data_dir / f"up-{pid}").exists()]
            return said is not None and said.restarts == restarts and len(up or ()) == 2

        self.wait(there, f"ranks after {restarts} restarts")
        said = fleet.read(self.data_dir, "main")
        assert said is not None
        assert said.pid == self.process.pid
        return said

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [line for line in (self.data_dir / "log").read_text().splitlines() if line.startswith("{")]
        return [line for line in map(json.loads, lines) if line["event"] == event]

    def wait(self, done: Callable[[], Any], what: str) -> None:
        deadline = time.monotonic() + 60
        while not done():
            assert time.monotonic() < deadline, f"no {what}: {(self.data_dir / 'log').read_text()}"
            assert self.process.poll() is None, (self.data_dir / "log").read_text()
            time.sleep(0.02)

    def ended(self, number: signal.Signals | None = None) -> int:
        """The exit code of the fleet, which was told to end by this signal if by any."""
        if number is not None:
            self.process.send_signal(number)
        return self.process.wait(60)


@contextmanager
def ranks(data_dir: Path, pause_s: float = 0.01) -> Iterator[Ranks]:
    """Two ranks; nobody is left at the end."""
    running = Ranks(data_dir, pause_s)
    try:
        yield running
        assert running.process.poll() is not None, "the test has ended its fleet"
        assert not any(str(data_dir) in " ".join(one.info["cmdline"] or ()) for one in psutil.process_iter(["cmdline"]))
    finally:
        for one in psutil.Process(running.process.pid).children() if running.process.poll() is None else ():
            one.kill()
        running.process.kill()
        running.process.wait()


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_rank_is_replaced_with_all_others_and_the_fleet_lives_on(tmp_path: Path, killed: int) -> None:
    with ranks(tmp_path) as running:
        first = running.run()
        os.kill(first.ranks[killed], signal.SIGKILL)
        second = running.run(restarts=1)
        assert not set(first.ranks) & set(second.ranks)
        assert second.why == f"rank {killed} ended with 137 {second.why.partition('137 ')[2]}"
        (ended,) = [line for line in running.logged(events.RANK_ENDED) if line["pid"] == first.ranks[killed]]
        assert (ended["rank"], ended["code"], ended["step"], ended["in"]) == (killed, 137, 3, "wait")
        assert [line["pids"] for line in running.logged(events.RANKS_STARTED)] == [[*first.ranks], [*second.ranks]]
        assert running.ended(signal.SIGTERM) == 0


@pytest.mark.parametrize("code", [2, 3, 4])
def test_an_exit_code_that_says_why_ends_the_fleet(tmp_path: Path, code: int) -> None:
    with ranks(tmp_path) as running:
        running.run()
        running.order(1, f"fail {code}")
        assert running.ended() == code
        assert len(running.logged(events.RANKS_STARTED)) == 1


def test_restarts_without_progress_are_limited(tmp_path: Path) -> None:
    with ranks(tmp_path) as running:
        running.order(1, "fail 1")
        assert running.ended() == 1
        assert len(running.logged(events.RANKS_STARTED)) == 1 + IN_VAIN
        said = (tmp_path / "log").read_text()
        assert f"{IN_VAIN} restarts in a row came to no step that was new, the last because rank 1 ended with 1" in said
        assert "in compute of step 3" in said


def test_restarts_with_progress_are_not_limited(tmp_path: Path) -> None:
    with ranks(tmp_path) as running:
        running.order(0, "further")
        running.run(restarts=7)
        assert running.ended(signal.SIGTERM) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_fleet_that_is_told_while_it_rests_ends(tmp_path: Path, number: signal.Signals) -> None:
    """One failure is answered at once, the second after a pause of ten minutes."""
    with ranks(tmp_path, pause_s=600) as running:
        running.order(1, "fail 1")
        running.wait(lambda: len(running.logged(events.RANKS_GONE)) == 2, "second failure")
        assert running.ended(number) == 1


def test_a_fleet_that_is_told_while_ranks_are_lost_ends_all(tmp_path: Path) -> None:
    """And starts none anew, though the survivor is deaf."""
    with ranks(tmp_path) as running:
        first = running.run()
        running.order(0, "sleep")
        running.wait(lambda: b"SigBlk:\t0000000000004000" in status(first.ranks[0]), "deaf rank")
        os.kill(first.ranks[1], signal.SIGKILL)
        running.wait(lambda: running.logged(events.RANK_ENDED), "loss")
        assert running.ended(signal.SIGTERM) in (1, 137), "how the lost one ended, or the deaf one"
        assert len(running.logged(events.RANKS_STARTED)) == 1


def status(pid: int) -> bytes:
    return Path(f"/proc/{pid}/status").read_bytes()


@pytest.mark.parametrize("how", ["sleep", "stopped"])
def test_a_stuck_rank_is_named_and_replaced(tmp_path: Path, how: str) -> None:
    with ranks(tmp_path) as running:
        first = running.run()
        if how == "sleep":
            running.order(1, "sleep")
            running.wait(lambda: running.logged(events.RANK_STUCK), "word of it")
            running.order(1, "")
        else:
            os.kill(first.ranks[1], signal.SIGSTOP)
        running.run(restarts=1)
        stuck = running.logged(events.RANK_STUCK)[0]
        place = (5, "reduce") if how == "sleep" else (3, "wait")
        assert (stuck["rank"], stuck["step"], stuck["in"]) == (1, *place)
        traced = "in of_fleet" in (tmp_path / "log").read_text()
        assert (running.logged(events.RANK_ENDED)[0]["code"], traced) == ((1, True) if how == "sleep" else (137, False))
        assert running.ended(signal.SIGTERM) == 0


def test_patience_ends_and_comes_back_with_progress_or_time() -> None:
    patience = Patience()
    assert [patience.pause_s(7, 1) for _ in range(IN_VAIN + 1)] == [0, 1, 2, 4, 8, None]
    assert patience.pause_s(8, 1) == 0
    assert patience.pause_s(8, 1) == 1
    assert patience.pause_s(2, HEALTHY_S) == 0


def test_the_board_names_who_is_elsewhere() -> None:
    board = Board(3)
    assert board.absent(0) == ""
    board.begin()
    for rank, step, part in ((0, 9, "agree"), (1, 9, "agree"), (2, 8, "compute")):
        board.write(rank, step, part)
    assert board.absent(0).startswith("rank 2 was last seen in compute of step 8 since ")
    assert "rank 1" not in board.absent(0)
    board.write(2, 9, "agree")
    assert "rank 1 was last seen in agree of step 9" in board.absent(0), "all alike: any of them"


def test_who_reads_the_board_while_a_rank_writes_sees_no_moment_that_never_was() -> None:
    board, begun = Board(1), time.monotonic()
    board.write(0, 1, "wait")
    if (writer := os.fork()) == 0:
        for step in range(1_000_000_000):
            board.write(0, step, "wait")
    try:
        seen = [board.of(0) for _ in range(300_000)]
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    assert seen[0].step < seen[-1].step
    assert all(at.since >= begun and at.part == "wait" for at in seen)
