"""What a stack says about itself on disk: the state, the lock that says whether it runs, requests to its supervisor.

run/lock          held (flock) by the supervisor as long as it lives; the kernel lets go when it is killed
run/state.json    who runs, on which ports, since when; stale when nobody holds the lock
run/brokers       bootstrap servers, for every other command
run/requests/     one JSON file an order: restart a part, another number of ranks, stay without an owner
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import orjson

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings, load

Phase = Literal["starting", "running", "stopping", "down"]
PartPhase = Literal["waiting", "starting", "running", "restarting", "stopping", "failed", "stopped"]


@dataclass(frozen=True)
class PartState:
    """One part. `since` is epoch seconds of its last change, `error` the last lines of its log when it ended badly."""

    name: str
    state: PartPhase = "waiting"
    pid: int | None = None
    since: float = 0.0
    restarts: int = 0
    exit_code: int | None = None
    error: tuple[str, ...] = ()
    url: str = ""

    def to(self, state: PartPhase, now: float, **values: Any) -> PartState:
        """The part in a new state since `now`."""
        return replace(self, state=state, since=now, **values)


@dataclass(frozen=True)
class State:
    """The whole stack. `environment` is what `Settings.environment()` gave after ports and folders were settled."""

    pid: int
    phase: Phase
    since: float
    environment: Mapping[str, str]
    parts: tuple[PartState, ...]

    @property
    def settings(self) -> Settings:
        return load(environment=self.environment).settings

    @property
    def failed(self) -> tuple[PartState, ...]:
        """Parts that will not be started again by themselves."""
        return tuple(part for part in self.parts if part.state == "failed")


def run_dir(data_dir: Path) -> Path:
    """The folder of everything that lasts only while the stack runs."""
    return data_dir / "run"


def write(state: State, data_dir: Path) -> None:
    """Replace the state file in one move."""
    replace_file(run_dir(data_dir) / "state.json", orjson.dumps(asdict(state)))


def read(data_dir: Path) -> State | None:
    """What the last supervisor wrote; None if there never was one. It may be stale: see `holder`."""
    path = run_dir(data_dir) / "state.json"
    if not path.exists():
        return None
    tree = orjson.loads(path.read_bytes())
    parts = tuple(PartState(**{**part, "error": tuple(part["error"])}) for part in tree.pop("parts"))
    return State(**tree, parts=parts)


def running(data_dir: Path) -> State | None:
    """The state of the stack that runs in `data_dir`; None if none does, however its last supervisor ended.

    Writes nothing: a directory that is not there, or may not be written, holds no stack.
    """
    for _ in range(3000):  # a minute at most: its first moments, before it has written its state
        if not held(data_dir):
            return None
        if (now := read(data_dir)) is not None:
            return now
        time.sleep(0.02)
    return None


def held(data_dir: Path) -> bool:
    """Whether a supervisor, or whoever is starting one, holds the stack's lock."""
    try:
        lock = os.open(run_dir(data_dir) / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def try_lock(data_dir: Path) -> int | None:
    """The stack's lock as an open descriptor; None if a supervisor, or whoever is starting one, holds it.

    A child that inherits the descriptor holds the lock too. Raises DependencyError where the directory cannot be
    written.
    """
    path = run_dir(data_dir) / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DependencyError(
            f"the data directory {data_dir} cannot be written: {error.strerror} ({error.filename}). Make it writable"
            " for this user, or name another one with --set local.data_dir=…"
        ) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def request(data_dir: Path, **order: Any) -> Path:
    """Leave an order for the supervisor: do="restart", part=…; do="ranks", ranks=…; do="train", run=…;
    do="end", part=…; do="keep".

    Returns the order's file, which is gone as soon as the supervisor has read it.
    """
    path = run_dir(data_dir) / "requests" / f"{uuid4().hex}.json"
    replace_file(path, orjson.dumps(order))
    return path


def take_requests(data_dir: Path) -> list[dict[str, Any]]:
    """All orders that were left, each once."""
    orders = []
    for path in sorted((run_dir(data_dir) / "requests").glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        orders.append(orjson.loads(path.read_bytes()))
        path.unlink()
    return orders


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in one move."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
