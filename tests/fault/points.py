"""Named points inside the work of trainer and planner, where a process of the stack under test falls or stands still.

The product knows nothing of this. `inside/sitecustomize.py` calls `install` in each of its Python processes, and the
functions of PLACES are wrapped as soon as their module is imported; where one is gone, the process ends there.

A test arms one point by a file in the folder FOLDER (see `tests/fault/world.py`). The process that comes there says so,
in a file of its own, and does to itself what the order says. Only what it does in between is its work: so a fault
that has fired met one that worked.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = "FAULT_FOLDER"
"""Environment variable: where orders and answers lie."""
ARMED = "armed.json"

Function = Callable[..., Any]


class Visits:
    """What this process has to know between two points: who it is, the step in hand, and how often it came by.

    `who`: a rank, once it has joined the others, else the part of the stack that this process belongs to.
    """

    def __init__(self) -> None:
        self.who = os.environ.get("_HEADRACE_PART", "").rpartition(":")[2]
        self.step = 0
        self.seen: Counter[str] = Counter()

    def come(self, point: str, subject: Any = None) -> None:
        """The process is at a point, `subject` in hand. Does what was ordered for it, if anything was."""
        folder = Path(os.environ[FOLDER])
        try:
            order = json.loads((folder / ARMED).read_bytes())
        except FileNotFoundError:
            return
        if (order["point"], order["victim"]) != (point, self.who) or self.step < order["step"]:
            return
        self.seen[order["id"]] += 1
        if self.seen[order["id"]] >= order["visit"] and self._claim(folder, order):
            DEEDS[order["deed"]](order, subject)

    def _claim(self, folder: Path, order: Mapping[str, Any]) -> bool:
        """Say that it is here, all at once; only the first that says so goes on."""
        said = folder / f"{order['id']}.{os.getpid()}.{threading.get_ident()}"
        said.write_text(json.dumps({"pid": os.getpid(), "step": self.step, "at": time.monotonic()}))
        try:
            os.link(said, folder / f"{order['id']}.fired")
        except FileExistsError:
            return False
        finally:
            said.unlink()
        return True


VISITS = Visits()


def kill(order: Mapping[str, Any], subject: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def pause(order: Mapping[str, Any], subject: Any) -> None:
    """Until somebody continues this process."""
    os.kill(os.getpid(), signal.SIGSTOP)


def hold(order: Mapping[str, Any], subject: Any) -> None:
    """This thread alone waits until the test lets go."""
    released = Path(os.environ[FOLDER]) / f"{order['id']}.released"
    while not released.exists():
        time.sleep(0.02)


def tear(order: Mapping[str, Any], subject: Any) -> None:
    """The manifest that was just written is cut in half, and its writer is dead: as after a crash of a machine."""
    manifest = subject.path / "manifest.json"
    os.truncate(manifest, manifest.stat().st_size // 2)
    kill(order, subject)


def disconnect(order: Mapping[str, Any], subject: Any) -> None:
    """Every connection of this process to the broker is shut down under it."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):  # closed meanwhile, or without a peer
            if str(entry.readlink()).startswith("socket:"):
                with socket.socket(fileno=os.dup(int(entry.name))) as one:
                    if one.getpeername()[1:2] == (order["broker_port"],):
                        one.shutdown(socket.SHUT_RDWR)


DEEDS: dict[str, Callable[[Mapping[str, Any], Any], None]] = {
    deed.__name__: deed for deed in (kill, pause, hold, tear, disconnect)
}


def before(point: str) -> Callable[[Function], Function]:
    """The point lies where the function is called."""

    def wrapper(function: Function) -> Function:
        @functools.wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            VISITS.come(point)
            return function(*arguments, **named)

        return wrapped

    return wrapper


def after(point: str) -> Callable[[Function], Function]:
    """The point lies where the function has returned; what it returned is in hand."""

    def wrapper(function: Function) -> Function:
        @functools.wraps(function)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            result = function(*arguments, **named)
            VISITS.come(point, result)
            return result

        return wrapped

    return wrapper


def naming_rank(function: Function) -> Function:
    """The function that makes a process a rank."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        group = function(*arguments, **named)
        VISITS.who = f"rank{group.rank}"
        return group

    return wrapped


def taking_step(function: Function) -> Function:
    """A method whose argument says which plan record is in hand. Record 0 of the plan is no step."""

    @functools.wraps(function)
    def wrapped(self: Any, record: Any) -> Any:
        VISITS.step = record.seq - 1
        return function(self, record)

    return wrapped


class InTwo:
    """A producer between whose write and whose commit there is something: the record has reached the broker."""

    def __init__(self, producer: Any) -> None:
        self.producer = producer

    def __getattr__(self, name: str) -> Any:
        return getattr(self.producer, name)

    def commit_transaction(self, timeout_s: float) -> None:
        self.producer.flush(timeout_s)
        VISITS.come("write")
        self.producer.commit_transaction(timeout_s)
        VISITS.come("commit")


def in_two(make: Function) -> Function:
    return lambda *arguments: InTwo(make(*arguments))


PLACES: dict[str, Sequence[tuple[str, Callable[[Function], Function]]]] = {
    "trainer.start": [("resume", before("resume"))],
    "trainer.group": [("join", naming_rank), ("Group.agree", before("agree")), ("Group.agree", taking_step)],
    "trainer.loop": [
        ("token_losses", before("forward")),
        ("learn", after("backward")),
        ("apply_update", after("update")),
    ],
    "trainer.reduce": [("Canonical.finish", before("reduce"))],
    "trainer.checkpoint": [("Checkpoints.begin", after("checkpoint")), ("Checkpoints.finish", after("manifest"))],
    "services.planner.log": [("PlanLog.append", taking_step), ("transactional_producer", in_two)],
}
"""By module what is wrapped, and how; the last one is outermost. `write` and `commit` lie behind those of the plan."""


def wrap(module: ModuleType) -> None:
    """Put the points of a module where they belong; raises AttributeError where a name is gone."""
    for name, wrapper in PLACES[module.__name__]:
        *owner, last = name.split(".")
        place: Any = functools.reduce(getattr, owner, module)
        setattr(place, last, wrapper(getattr(place, last)))


class Wrapping(MetaPathFinder):
    """Finds the modules of PLACES as Python does, and wraps what they define when they have been executed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in PLACES else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_wrap(module: ModuleType) -> None:
            execute(module)
            wrap(module)

        spec.loader.exec_module = execute_and_wrap  # type: ignore[method-assign]
        return spec


def install() -> None:
    """From now on this process has points, if it belongs to a stack under test."""
    if FOLDER in os.environ:
        sys.meta_path.insert(0, Wrapping())
