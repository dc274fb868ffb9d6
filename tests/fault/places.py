"""Where the points of `tests/fault/points.py` are in the code of trainer and planner, which knows nothing of this.

`inside/sitecustomize.py` calls `install` in each Python process of a stack under test: the functions of PLACES are
wrapped as soon as their module is imported; where one is gone, the process ends there.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from tests.fault.points import FOLDER, VISITS

Function = Callable[..., Any]


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
