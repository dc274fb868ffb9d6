"""One part under watch: started, seen to run, started again with growing pauses when it ends."""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.local import process
from headrace.local.process import Part
from headrace.local.state import PartState

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
HEALTHY_S = 60.0
"""A part that ran so long starts its pauses anew."""
QUICK_ENDS = 10
"""So many ends in a row, none of them after HEALTHY_S of running: it is left alone until somebody looks."""
ERROR_LINES = 5


@dataclass
class Watched:
    """A part, its process, and what happened to it. `final` are exit codes after which a restart cannot help."""

    part: Part
    data_dir: Path
    state: PartState
    final: Collection[int] = ()
    process: subprocess.Popen[bytes] | None = None
    quick_ends: int = 0
    not_before: float = 0.0
    log_from: int = 0

    @property
    def name(self) -> str:
        return self.part.name

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, now: float) -> None:
        """Start it; whatever an earlier start left behind must be gone by now."""
        log = process.log_path(self.data_dir, self.name)
        self.process = process.start(self.part, self.data_dir)
        self.log_from = max(0, log.stat().st_size - 1) if log.exists() else 0
        self.state = self.state.to("starting", now, pid=self.process.pid)

    def runs(self, now: float) -> None:
        """It does its work now."""
        self.state = self.state.to("running", now, exit_code=None, error=())

    def ended(self, now: float) -> None:
        """Its process is gone though nobody asked: clear what it left, then a pause and a restart, or none at all."""
        assert self.process is not None
        code = self.process.wait()
        process.end(process.marked(self.data_dir, self.name), grace_s=0)
        healthy = self.state.state == "running" and now - self.state.since >= HEALTHY_S
        self.quick_ends = 1 if healthy else self.quick_ends + 1
        self.process = None
        gone: dict[str, Any] = {"pid": None, "exit_code": code, "error": self.last_lines()}
        if code in self.final or self.quick_ends >= QUICK_ENDS:
            self.state = self.state.to("failed", now, **gone)
            return
        self.not_before = now + pause_s(self.quick_ends)
        self.state = self.state.to("restarting", now, restarts=self.state.restarts + 1, **gone)

    def fail(self, now: float, why: str) -> None:
        """It runs, but what it serves is not usable."""
        self.state = self.state.to("failed", now, error=(why,))

    def stop(self, now: float, grace_s: float) -> None:
        """SIGTERM, and after `grace_s` SIGKILL; blocks until it and everything it started is gone."""
        if self.process is not None:
            if self.alive:
                self.process.terminate()
                process.wait_gone(self.process, grace_s)
            process.end(process.marked(self.data_dir, self.name), grace_s=2)
            self.process.wait()
            self.process = None
        self.state = self.state.to("stopped", now, pid=None)

    def again(self, now: float, part: Part | None = None) -> None:
        """Start it, or its changed form, at the next opportunity, whatever happened before."""
        self.part = part or self.part
        self.quick_ends, self.not_before = 0, now
        self.state = self.state.to("waiting", now, restarts=self.state.restarts + 1)

    def last_lines(self) -> tuple[str, ...]:
        """The last lines that this start wrote to its log."""
        path = process.log_path(self.data_dir, self.name)
        if not path.exists():
            return ()
        with path.open("rb") as file:
            file.seek(max(self.log_from, path.stat().st_size - 16_384))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return tuple(line for line in lines if line.strip())[-ERROR_LINES:]


def pause_s(quick_ends: int) -> float:
    """Seconds until the next start after so many ends in a row."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (quick_ends - 1))
