"""A stand-in under faults: its stream, its launcher, and what its log says in the end."""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import brokers_of
from headrace.local import process
from tests.fault import points
from tests.fault.comparison import auto_commit, faults, training
from tests.fault.comparison.faults import Fault
from tests.fault.comparison.oracle import Coordinate, Tally, history, tally
from tests.fault.comparison.stream import Stream
from tests.forks import FORKS


@dataclass(frozen=True)
class System:
    """How it is named in the table, and started; its topic has up to `most` documents in a message."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    most: int = 1
    shuffles: bool = False


A, B = "auto_commit", "max_offset"
PR_SET_PDEATHSIG = 1
POLL_S = 0.25
STEADY_S = 6.0
"""More than the client waits between two commits of its own."""
SYSTEMS: Mapping[str, System] = {
    "A": System("A: the client commits every 5 s", A),
    "A-step": System("A: commits after each step", A, ("--commit", auto_commit.STEP)),
    "A-checkpoint": System("A: commits after each checkpoint", A, ("--commit", auto_commit.CHECKPOINT)),
    "B-single": System("B: greatest offset, a document a message", B),
    "B": System("B: greatest offset, 1 to 16 documents a message", B, most=16),
    "B-shuffle": System("B: the same, shuffled in a buffer of 64", B, ("--shuffle", "64"), most=16, shuffles=True),
}


def begin(module: str, arguments: Sequence[str], folder: Path) -> None:
    """What a new process is: the stand-in, its output in a log, ended with whoever forked it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    with (folder / "log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ[points.FOLDER] = str(folder)
    sys.argv[1:] = arguments
    importlib.import_module(f"{__package__}.{module}").main()


@dataclass
class Run:
    """A stand-in in `folder`, started again whenever it ends; the broker is that of `settings`, for it alone."""

    system: System
    settings: Settings
    folder: Path
    stream: Stream
    starts: int = 0
    orders: int = 0

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.start()

    def start(self) -> None:
        arguments = (brokers_of(self.settings), self.settings.topic(RAW), str(self.folder), *self.system.arguments)
        self.process = FORKS.Process(target=begin, args=(self.system.module, arguments, self.folder), daemon=True)
        self.process.start()
        self.starts += 1

    def wait(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Block until `done()`, as a launcher that starts again what has ended."""
        deadline = time.monotonic() + timeout_s
        while not done():
            assert time.monotonic() < deadline, (
                f"{self.system.name}: {what}: not within {timeout_s:.0f} s, {self.folder}"
            )
            if self.process.exitcode is not None:
                self.start()
            time.sleep(POLL_S)

    def sleep(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self.wait(lambda: time.monotonic() > until, seconds + 60, "sleep")

    def work(self) -> int:
        """Block until it has done nothing but keep up with the stream for a while; documents fed by then."""
        for _ in range(2):
            self.sleep(STEADY_S / 2)
            self.wait(
                lambda: self.stream.ahead(fed(self.lines())) <= training.BATCH, 300, "it keeps up with the stream"
            )
        return sum(len(line.get("documents", ())) for line in self.lines())

    def strike(self, fault: Fault) -> dict[str, Any]:
        """Let it happen; what the process said that it happened to. Blocks until it is over."""
        after = self.work() + fault.gap
        point, deed = POINTS[fault.kind]
        self.orders += 1
        order = {"id": str(self.orders), "victim": training.TRAINER, "point": point, "deed": deed, "step": after}
        new = self.folder / "armed.new"
        new.write_text(json.dumps({**order, "visit": 1}))
        new.replace(self.folder / points.ARMED)
        fired = self.folder / f"{self.orders}.fired"
        self.wait(fired.exists, 300, f"{fault} fires")
        (self.folder / points.ARMED).unlink()
        said: dict[str, Any] = json.loads(fired.read_bytes())
        if fault.kind == faults.PAUSE:
            self.sleep(faults.PAUSE_S)
            os.kill(said["pid"], signal.SIGCONT)
        if fault.kind == faults.PAUSE_BROKER:
            brokers = process.marked(self.settings.data_dir, "broker")
            process.signal_all(brokers, signal.SIGSTOP)
            (self.folder / f"{self.orders}.released").touch()
            self.sleep(faults.PAUSE_S)
            process.signal_all(brokers, signal.SIGCONT)
        return said

    def settle(self, quiet_s: float) -> int:
        """Wait until it has read all and was fed nothing for so long, and end it as its user would.

        Returns the steps of the final weights.
        """
        log = self.folder / training.LOG

        def done() -> bool:
            if not log.exists() or time.time() - log.stat().st_mtime < quiet_s:
                return False
            lines = self.lines()
            started = sum("resumed" in line for line in lines) == self.starts
            return started and (self.system.shuffles or not self.stream.ahead(fed(lines)))  # a buffer holds some back

        self.wait(done, 600, "it has read all")
        self.process.terminate()
        self.process.join(60)
        assert self.process.exitcode == 0, f"{self.system.name} ended with {self.process.exitcode}"
        return int(torch.load(self.folder / training.CHECKPOINT, weights_only=True)["step"])

    def lines(self) -> list[dict[str, Any]]:
        """Its log so far."""
        log = self.folder / training.LOG
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def end(self) -> None:
        """Whatever happened, leave nothing running."""
        self.process.kill()
        self.process.join()


POINTS: Mapping[str, tuple[str, str]] = {
    faults.IN_STEP: (training.UPDATE, "kill"),
    faults.IN_SAVE: (training.WRITTEN, "kill"),
    faults.AFTER_SAVE: (training.SAVED, "kill"),
    faults.PAUSE: (training.UPDATE, "pause"),
    faults.PAUSE_BROKER: (training.UPDATE, "hold"),
    faults.OTHER_RANKS: (training.UPDATE, "kill"),
}
"""A stand-in has one rank: it is killed, and goes on with one."""


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    name: str
    faults: int
    tally: Tally
    state: str


def compare(
    system: System,
    settings: Settings,
    folder: Path,
    struck: Iterable[Fault],
    documents: int,
    seed: int,
    quiet_s: float = 12,
) -> Result:
    """One stand-in through all faults; blocks until its final weights are there and counted."""
    stream = Stream(settings, seed, system.most)
    stream.thread.start()
    run = Run(system, settings, folder, stream)
    try:
        fired = [run.strike(fault) for fault in struck]
        stream.close(documents)
        last = run.settle(quiet_s)
    finally:
        stream.stopping.set()
        run.end()
    assert not stream.ahead(fed(run.lines())), f"{system.name} was ended before it had read all"
    counted = tally(stream.acknowledged, history(run.lines(), last))
    return Result(system.name, len(fired), counted, f"step {last}, {run.starts - 1} restarts")


def fed(lines: Iterable[Mapping[str, Any]]) -> set[Coordinate]:
    """What was fed at any time."""
    return {(p, offset, index) for line in lines for p, offset, index in line.get("documents", ())}
