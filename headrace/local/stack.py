"""Starting and ending a whole stack: what `headrace up` and `down` do, and a context manager for the demo and tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
import psutil

from headrace.contract import fleet
from headrace.contract.errors import ContractError, DependencyError, HeadraceError, SettingsError
from headrace.contract.settings import PREFIX, ROOT, Settings
from headrace.local import datadir, disk, logfiles, parts, ports, process, state, status
from headrace.local.java import java_home
from headrace.local.state import PartState, State

POLL_S = 0.3
HOPELESS = 5
"""So many restarts of a part while the stack starts: whoever waits is told, the supervisor goes on trying."""
DOWN_S = 240.0
"""Longer than all grace periods of the supervisor together."""


def settle(settings: Settings) -> Settings:
    """The settings with everything decided: free ports chosen, folders absolute, addresses of broker and Flink.

    Raises SettingsError when the settings name another broker or Flink, DependencyError when a port is taken.
    """
    for key, value in (("kafka.brokers", settings.kafka.brokers), ("flink.rest", settings.flink.rest)):
        if value:
            raise SettingsError(f"{key} is {value}, but a local stack runs its own: leave it out")
    chosen = ports.choose(settings)
    there = settings.absolute
    return there.model_copy(
        update={
            "kafka": there.kafka.model_copy(update={"brokers": f"{ports.HOST}:{chosen.broker}"}),
            "flink": there.flink.model_copy(update={"rest": f"http://{ports.HOST}:{chosen.flink}"}),
            "local": there.local.model_copy(update={"ports": chosen}),
        }
    )


def launch(
    settings: Settings, names: tuple[str, ...] = parts.ALL, owner: psutil.Process | None = None
) -> tuple[Settings, subprocess.Popen[bytes]]:
    """Start a supervisor in a session of its own and return at once; the settings are the settled ones.

    The jars must be in the cache. What a killed supervisor left behind is ended first. Raises DependencyError when a
    stack runs in this data directory already, when its disk is full, when Java or a port is not to be had;
    ContractError when the data is not for this installation (see `datadir.check`).
    """
    data_dir = settings.data_dir
    datadir.check(settings)
    lock = _take_lock(settings)
    try:
        (state.run_dir(data_dir) / "state.json").unlink(missing_ok=True)  # first: it names a process that is gone
        process.end(process.marked(data_dir), grace_s=5)
        java_home()
        if full := disk.short(settings):
            raise DependencyError("\n".join(full))
        settled = settle(settings)
        datadir.claim(settled)
        command = [sys.executable, "-m", "headrace.local.supervisor", "--parts", ",".join(names)]
        if owner is not None:
            command += ["--owner", f"{owner.pid}:{owner.create_time()!r}"]
        mine = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, process.MARK))}
        log = logfiles.open_log(data_dir, "supervisor")
        try:
            supervisor = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**mine, **settled.environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(lock, *ports.claims(settled)),
            )
        finally:
            os.close(log)
    finally:
        os.close(lock)
    return settled, supervisor


def _take_lock(settings: Settings) -> int:
    for _ in range(20):  # a command that asks whether a stack runs holds the lock for a moment
        if (lock := state.try_lock(settings.data_dir)) is not None:
            return lock
        time.sleep(0.02)
    raise DependencyError(f"a stack runs or starts in {settings.data_dir} already: `headrace status`, `headrace down`")


def starting(settings: Settings, timeout_s: float) -> Iterator[State]:
    """The state every moment until all parts run. `settings` as `launch` settled them.

    Raises ContractError or DependencyError with the last lines of a part that failed for good, that has ended
    HOPELESS times in a row, or that is missing when the time is over.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        if (now := state.running(settings.data_dir)) is None:
            raise why_ended(settings.data_dir)
        yield now
        check(now)
        if now.phase == "running":
            return
        if hopeless := [part for part in now.parts if part.state == "restarting" and part.restarts >= HOPELESS]:
            raise DependencyError("; ".join([*map(describe, hopeless), *disk.short(settings)]))
        if time.monotonic() > deadline:
            missing = [part for part in now.parts if part.state != "running"]
            said = [*map(describe, missing), *status.job_troubles(settings), *disk.short(settings)]
            raise DependencyError(f"not running after {timeout_s:.0f} s: {'; '.join(said)}")
        time.sleep(POLL_S)


def why_ended(data_dir: Path) -> HeadraceError:
    """The error that ended the supervisor, from the last line of its log."""
    log = logfiles.path_of(data_dir, "supervisor")
    last = (log.read_bytes().splitlines() if log.exists() else []) or [b""]
    try:
        said = orjson.loads(last[-1])
        return error_of(said["exit_code"])(said["event"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return DependencyError(f"the stack has ended again, its supervisor said: {last[-1].decode()} (see {log})")


def error_of(exit_code: int | None) -> type[HeadraceError]:
    """The kind of error that a part's exit code stands for."""
    return {2: SettingsError, 4: ContractError}.get(exit_code or 0, DependencyError)


def check(now: State) -> None:
    """Raise what a part that failed for good stands for."""
    for part in now.failed:
        raise error_of(part.exit_code)(describe(part))


def describe(part: PartState) -> str:
    """One part in words, with its last lines if it ended badly."""
    code = f" with exit code {part.exit_code}" if part.exit_code is not None else ""
    said = "".join(f"\n  {line}" for line in part.error)
    return f"{part.name} {part.state}{code}{said}"


def stopping(settings: Settings) -> Iterator[State]:
    """Tell the stack in this data directory to end, and show its state until it has; nothing at all if none runs.

    Raises HeadraceError when it does not end within DOWN_S.
    """
    if (now := state.running(settings.data_dir)) is None:
        return
    _supervisor(now.pid).terminate()
    deadline = time.monotonic() + DOWN_S
    while (now := state.running(settings.data_dir)) is not None:
        yield now
        if time.monotonic() > deadline:
            raise HeadraceError(f"supervisor {now.pid} has not ended after {DOWN_S:.0f} s: see logs/supervisor.log")
        time.sleep(POLL_S)


def order(settings: Settings, timeout_s: float, part: str, /, **what: Any) -> Iterator[State]:
    """Leave an order that has `part` started again; the state until it runs, and the jobs on it where it is of Flink.

    Raises what the part failed for; DependencyError when the stack ends meanwhile or the time is over.
    """
    data_dir = settings.data_dir
    before = _count(state.running(data_dir), part)
    left = state.request(data_dir, **what)
    deadline = time.monotonic() + timeout_s
    while True:
        if (now := state.running(data_dir)) is None:
            raise why_ended(data_dir)
        yield now
        found = next((each for each in now.parts if each.name == part), PartState(part))  # a new one is not there yet
        if found.state == "failed" and not left.exists():
            raise error_of(found.exit_code)(describe(found))
        if found.state == "running" and found.restarts > before and not left.exists() and _jobs_again(now, part):
            return
        if time.monotonic() > deadline:
            raise DependencyError(f"not running again after {timeout_s:.0f} s: {describe(found)}")
        time.sleep(POLL_S)


def dropping(settings: Settings, timeout_s: float, part: str) -> Iterator[State]:
    """Order that a part ends and belongs to the stack no more; the state until that is so, or the stack has ended.

    Raises DependencyError when the time is over.
    """
    state.request(settings.data_dir, do="end", part=part)
    deadline = time.monotonic() + timeout_s
    while (now := state.running(settings.data_dir)) and part in status.names(now):
        yield now
        if time.monotonic() > deadline:
            raise DependencyError(f"{part} has not ended after {timeout_s:.0f} s: `headrace logs {part}`")
        time.sleep(POLL_S)


def _jobs_again(now: State, part: str) -> bool:
    """Whether the jobs run as well, where a process of Flink was started again and the stack has jobs."""
    there = {each.name for each in now.parts}
    return (
        part not in (parts.JOBMANAGER, parts.TASKMANAGER)
        or parts.JOBS not in there
        or parts.ready(parts.JOBS, now.settings)
    )


def _count(now: State | None, name: str) -> int:
    """How often a part was started again; a part that is not there yet counts as one start less."""
    return next((part.restarts for part in now.parts if part.name == name), -1) if now else -1


def _supervisor(pid: int) -> psutil.Process:
    """The process, if it is a supervisor: never a signal to someone who was given its number later."""
    try:
        found = psutil.Process(pid)
        if "headrace.local.supervisor" in found.cmdline():
            return found
    except psutil.Error:
        pass
    raise HeadraceError(f"process {pid} is no supervisor any more: look with `headrace status`, then try again")


def clear(settings: Settings) -> int:
    """End what a killed supervisor has left behind in this data directory; how many processes that were."""
    left = process.marked(settings.data_dir)
    process.end(left, grace_s=5)
    return len(left)


class Stack:
    """A stack that lives as long as a `with` block; made in the main thread. See the module's other functions.

    However the block ends, nothing is left: jobs stop with a savepoint, the trainer saves. If this process is killed
    the supervisor notices and does the same. Children never see this terminal's Ctrl-C.
    """

    def __init__(self, settings: Settings, parts: tuple[str, ...] = parts.ALL) -> None:
        self.given = settings
        self.names = parts
        self.kept = False

    def __enter__(self) -> Stack:
        self.settings, self.supervisor = launch(self.given, self.names, psutil.Process())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.kept:
            return
        try:
            self.supervisor.terminate()
            self.supervisor.wait(DOWN_S)
        finally:  # also after a second Ctrl-C: then without savepoints, but nothing stays either
            self.supervisor.kill()
            self.supervisor.wait()
            process.end(process.marked(self.settings.data_dir), grace_s=5)

    def starting(self, timeout_s: float = 180.0) -> Iterator[State]:
        """The state every moment until all parts run; see `starting`."""
        return starting(self.settings, timeout_s)

    def wait_running(self, timeout_s: float = 180.0) -> None:
        """Block until all parts run."""
        for _ in self.starting(timeout_s):
            pass

    def state(self) -> State:
        """What the supervisor says now; raises DependencyError when it is gone."""
        if (now := state.running(self.settings.data_dir)) is None:
            raise DependencyError("the stack's supervisor is gone: see logs/supervisor.log")
        return now

    def wait_until(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Block until `done()`; raises what a part failed for, or TimeoutError naming `what`."""
        deadline = time.monotonic() + timeout_s
        while not done():
            check(self.state())
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
            time.sleep(POLL_S)

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of the parts that live, of the supervisor, and of the ranks as rank0, rank1, …"""
        now = self.state()
        found = {"supervisor": now.pid} | {part.name: part.pid for part in now.parts if part.pid is not None}
        said = fleet.read(self.settings.data_dir, self.settings.trainer.run)
        if said is not None and said.pid == found.get(parts.TRAINER):
            found |= {f"rank{rank}": pid for rank, pid in enumerate(said.ranks)}
        return found

    def kill(self, name: str) -> int:
        """SIGKILL one process of `pids`; its process id."""
        pid = self.pids[name]
        os.kill(pid, signal.SIGKILL)
        return pid

    def keep(self) -> None:
        """Leave the stack running after the block, until `headrace down`; blocks until the supervisor knows."""
        order = state.request(self.settings.data_dir, do="keep")
        self.wait_until(lambda: not order.exists(), 60, "the supervisor knows that it stays")
        self.kept = True
