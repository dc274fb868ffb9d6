"""One process of the stack: what it is, how it starts, how it and all that it left behind is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from headrace.contract.settings import PREFIX, ROOT
from headrace.local import logfiles

MARK = "_HEADRACE_PART"
"""Environment variable of every process of a stack, inherited by whatever it starts: data directory and part.

A process group is not enough: Python workers and ranks put themselves into sessions of their own.
"""


@dataclass(frozen=True)
class Part:
    """What to run. `environment` is added to that of the caller, without its HEADRACE_ settings."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def start(part: Part, data_dir: Path) -> subprocess.Popen[bytes]:
    """Start it in a process group of its own, from the repository root, its output appended to logs/NAME.log.

    The kernel sends it SIGTERM when the thread that called this ends, so call it from the main thread.
    """
    log = logfiles.open_log(data_dir, part.name)
    mine = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    try:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "--", *part.command],
            cwd=ROOT,
            env={**mine, **part.environment, MARK: mark(data_dir, part.name)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
    finally:
        os.close(log)


def mark(data_dir: Path, name: str) -> str:
    """The value of MARK in a part's processes."""
    return f"{data_dir}:{name}"


def marked(data_dir: Path, name: str | None = None) -> list[psutil.Process]:
    """Every living process of a part, or of the whole stack of `data_dir`, whoever its parent is now."""
    wanted = f"{MARK}={mark(data_dir, name or '')}".encode()
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):  # by hand: on a busy machine psutil takes a second for all
        try:
            values = file.read_bytes().split(b"\0")
            if any(value == wanted or (name is None and value.startswith(wanted)) for value in values):
                found.append(psutil.Process(int(file.parent.name)))
        except (psutil.Error, OSError):
            continue  # another user's, or gone
    return found


def end(processes: Iterable[psutil.Process], grace_s: float) -> None:
    """SIGTERM, then after `grace_s` SIGKILL to what is left. Blocks until all are gone."""
    processes = list(processes)
    signal_all(processes, signal.SIGTERM)
    alive = _alive_after(processes, grace_s)
    signal_all(alive, signal.SIGKILL)
    _alive_after(alive, 10)


def _alive_after(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those that have not ended in time. One that waits for its parent to hear of it has: init may take seconds."""
    deadline = time.monotonic() + timeout_s
    while (alive := [one for one in processes if _alive(one)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def _alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def signal_all(processes: Iterable[psutil.Process], number: int) -> None:
    """Send a signal to each that still lives; psutil checks that a number was not given to another process."""
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def wait_gone(process: subprocess.Popen[bytes], timeout_s: float) -> bool:
    """Whether it ended in time."""
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return process.poll() is not None
