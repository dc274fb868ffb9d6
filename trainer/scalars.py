"""The numbers of each step as TensorBoard's event files, written beside the loop, which never waits for them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any

from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings
from headrace.contract.training import StepReport

log = logging.getLogger("headrace")

FOLDER = "tensorboard"
WRITE_S = 5.0
"""How often what was reported is written; a rank that is killed leaves out so much at most."""
WAITING = 100_000
"""Reports that wait for a slow disk; beyond that the oldest are left out."""
LIBRARY = "tensorboardX"


def check_library(settings: Settings) -> None:
    """Raise SettingsError where trainer.tensorboard is set and nothing is installed that writes event files."""
    if settings.trainer.tensorboard and find_spec(LIBRARY) is None:
        raise SettingsError(
            f"trainer.tensorboard=true needs {LIBRARY}, which is not installed on this machine:"
            " `pip install 'headrace[tensorboard]'`, or set trainer.tensorboard=false"
        )


def scalars_of(report: StepReport) -> Iterator[tuple[str, float]]:
    """The numbers of a report by the names under which TensorBoard shows them."""
    for name in ("loss", "grad_norm", "learning_rate", "tokens", "tokens_total", "age_s", "ranks", "skipped"):
        yield f"step/{name}", float(getattr(report, name))
    for part, seconds in report.seconds.items():
        yield f"seconds/{part}", seconds
    for source, (tokens, summed) in report.sources.items():
        if tokens:
            yield f"loss_by_source/{source}", summed / tokens


class Scalars:
    """The event file of one attempt, in <folder>; `step` is quick, all writing is done by a thread of its own.

    What it writes is for looking at: a disk that takes no more ends the file with a warning, and not the training.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.waiting: deque[StepReport] = deque(maxlen=WAITING)
        self.ending = Event()
        self.thread = Thread(target=self._run, name=FOLDER, daemon=True)
        self.thread.start()

    def step(self, report: StepReport) -> None:
        """One step was applied; never blocks."""
        self.waiting.append(report)

    def close(self, timeout_s: float = 10.0) -> None:
        """Write what waits; blocks for as long as that takes, and no longer than `timeout_s`."""
        self.ending.set()
        self.thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            writer = import_module(f"{LIBRARY}.event_file_writer").EventsWriter(str(self.folder / "events"))
            while not self.ending.wait(WRITE_S):
                self._write(writer)
            self._write(writer)
            writer.close()
        except OSError as error:
            log.warning(f"no more scalars for TensorBoard in {self.folder}: {error.strerror}")

    def _write(self, writer: Any) -> None:
        if not self.waiting:
            return
        proto = import_module(f"{LIBRARY}.proto.event_pb2"), import_module(f"{LIBRARY}.proto.summary_pb2")
        while self.waiting:
            writer.write_event(event(*proto, self.waiting.popleft()))
        writer.flush()


def event(events: Any, summaries: Any, report: StepReport) -> Any:
    """One event with all numbers of a step, at its step and time."""
    values = [summaries.Summary.Value(tag=name, simple_value=value) for name, value in scalars_of(report)]
    summary = summaries.Summary(value=values)
    return events.Event(wall_time=report.time / 1000, step=report.step, summary=summary)
