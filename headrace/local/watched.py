"""One part under watch: started, seen to run, started again with growing pauses when it ends."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from headrace.contract.errors import HeadraceError
from headrace.local import logfiles, process
from headrace.local.process import Part
from headrace.local.state import PartState

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 30.0
"""A part that ran so long was well: it starts again at once, and its pauses begin anew."""
ERROR_LINES = 5


class Moment(NamedTuple):
    """Two clocks, read together: `wall` (epoch seconds) is shown, `steady` is reckoned with. Only `wall` can be set."""

    wall: float
    steady: float

    @classmethod
    def now(cls) -> Moment:
        return cls(time.time(), time.monotonic())


@dataclass
class Watched:
    """A part, its process, and what happened to it. `final` are exit codes after which a restart cannot help.

    Any other end leads to a restart, for ever: a disk that was full or a network that was away is back some day.
    """

    part: Part
    data_dir: Path
    state: PartState
    final: Collection[int] = ()
    process: subprocess.Popen[bytes] | None = None
    quick_ends: int = 0
    not_before: float = 0.0
    since: float = 0.0
    log_from: int = 0
    inside: int = 0
    """Restarts that this process has made of its own parts."""
    leaves: bool = False
    """Once it has ended, it is no part of the stack any more."""

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, now: Moment) -> None:
        """Start it; whatever an earlier start left behind must be gone by now."""
        log = logfiles.path_of(self.data_dir, self.name)
        self.process = process.start(self.part, self.data_dir)
        self.log_from = max(0, log.stat().st_size - 1) if log.exists() else 0
        self.inside = 0
        self.state = self.state.to("starting", now.wall, pid=self.process.pid)

    def runs(self, now: Moment) -> None:
        """It does its work now."""
        self.since = now.steady
        self.state = self.state.to("running", now.wall, exit_code=None, error=())

    def ended(self, now: Moment) -> None:
        """Its process is gone though nobody asked: clear what it left, then a pause and a restart, or none at all."""
        assert self.process is not None
        code = self.process.wait()
        process.end(process.marked(self.data_dir, self.name), grace_s=0)
        healthy = self.state.state == "running" and now.steady - self.since >= HEALTHY_S
        self.quick_ends = 0 if healthy else self.quick_ends + 1
        self.process = None
        gone: dict[str, Any] = {"pid": None, "exit_code": code, "error": self.last_lines()}
        if code in self.final:
            self.state = self.state.to("failed", now.wall, **gone)
            return
        self.not_before = now.steady + pause_s(self.quick_ends)
        self.state = self.state.to("restarting", now.wall, restarts=self.state.restarts + 1, **gone)

    def restarted_inside(self, now: Moment, restarts: int, why: str, whole: bool) -> int:
        """Its process has started parts of its own again so often, or (not `whole`) misses some; how many are new."""
        new, self.inside = restarts - self.inside, restarts
        if new or (not whole and self.state.state == "running"):
            more = self.state.restarts + new
            self.state = self.state.to("starting", now.wall, restarts=more, error=(why,) if why else ())
        return new

    def not_started(self, now: Moment, why: str) -> None:
        """The machine could not start it: the same pauses as after an end."""
        self.quick_ends += 1
        self.not_before = now.steady + pause_s(self.quick_ends)
        self.state = self.state.to("restarting", now.wall, restarts=self.state.restarts + 1, error=(why,))

    def fail(self, now: Moment, why: str) -> None:
        """It runs, but what it serves is not usable."""
        self.state = self.state.to("failed", now.wall, error=(why,))

    def refuse(self, now: Moment, error: HeadraceError) -> None:
        """It cannot even be started."""
        self.state = self.state.to("failed", now.wall, exit_code=error.exit_code, error=(str(error),))

    def ask_to_end(self, now: Moment, grace_s: float) -> None:
        """SIGTERM; returns at once. Look with `gone` whether it has ended."""
        if self.process is not None and self.alive:
            self.process.terminate()
        self.not_before = now.steady + grace_s
        self.state = self.state.to("stopping", now.wall)

    def gone(self, now: Moment) -> bool:
        """Whether a part that was asked to end has ended or used up its time; then nothing of it is left."""
        if self.alive and now.steady < self.not_before:
            return False
        self.stop(now, grace_s=0)
        return True

    def stop(self, now: Moment, grace_s: float) -> None:
        """SIGTERM, and after `grace_s` SIGKILL; blocks until it and everything it started is gone."""
        if self.process is not None:
            if self.alive:
                self.process.terminate()
                process.wait_gone(self.process, grace_s)
            process.end(process.marked(self.data_dir, self.name), grace_s=2)
            self.process.wait()
            self.process = None
        self.state = self.state.to("stopped", now.wall, pid=None)

    def again(self, now: Moment) -> None:
        """Start it at the next opportunity, whatever happened before."""
        self.quick_ends, self.not_before = 0, now.steady
        self.state = self.state.to("waiting", now.wall, restarts=self.state.restarts + 1, exit_code=None, error=())

    def last_lines(self) -> tuple[str, ...]:
        """The last lines that this start wrote to its log."""
        path = logfiles.path_of(self.data_dir, self.name)
        if not path.exists():
            return ()
        size = path.stat().st_size
        begin = self.log_from if self.log_from <= size else 0  # it was set aside meanwhile
        with path.open("rb") as file:
            file.seek(max(begin, size - 16_384))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return tuple(line for line in lines if line.strip())[-ERROR_LINES:]


def pause_s(quick_ends: int) -> float:
    """Seconds until the next start after so many quick ends in a row."""
    if not quick_ends:
        return 0.0
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(quick_ends - 1, 10))
