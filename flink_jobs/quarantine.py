"""A document that kills or stalls its Python worker costs a restart, and then itself: never the stream.

While a document is in hand its coordinate stands in the worker's cell, a small file that outlives the worker, and an
alarm is set that ends a worker that takes too long. No checkpoint covers a document in hand, so after the restart it
comes again. A document from the cell of a dead worker is a suspect, nothing more: the worker may have been killed for
any other reason. A suspect is therefore not handed to the new worker but tried in a process of its own, twice. If both
trials die it is quarantined, and that verdict is kept; if one does not, its row is used and the suspicion forgotten.

Where one bad document was, more may follow: after each verdict the next documents are tried apart as well, so that a
run of bad ones costs one restart. All of it is local to the machine; a machine that is lost forgets suspects and
verdicts, which costs a restart for each document that was not yet past.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import signal
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Generic, TypeVar
from uuid import uuid4

from flink_jobs.trial import Died, Trials

Place = tuple[int, int]
"""Partition and offset in the job's input."""
Row = TypeVar("Row")

ALIKE = 1000
"""So many documents after a quarantined one are tried apart."""
KEPT_S = 30 * 24 * 3600
"""A verdict is forgotten after this; long before, a checkpoint has passed its document."""
CELL = struct.Struct("<qq")
NOTHING = (-1, -1)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Quarantined:
    """What stands in place of a row; `detail` says how the trials died, and where."""

    detail: str

    @property
    def reason(self) -> tuple[str, str]:
        """Reason and detail of its reject."""
        return "quarantined", self.detail


class Quarantine(Generic[Row]):
    """Calls `judge` for one document after another. One for each subtask; all of a job share `folder`.

    Must be the only user of SIGALRM in its process. Before `open` it can be pickled.
    """

    def __init__(self, folder: Path, timeout_s: float) -> None:
        self.folder = folder
        self.timeout_s = timeout_s

    def open(self, judge: Callable[..., Row]) -> None:
        """Learn what earlier workers left behind. `judge` must be picklable and raise nothing."""
        self.judge = judge
        self.trials = Trials(judge, self.timeout_s)
        self.apart = 0
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            collect(self.folder, time.time())
            self.known = known(self.folder)
            self.cell = Cell(self.folder / f"cell-{uuid4().hex}")

    def close(self) -> None:
        """Leave nothing behind: this worker ends in good order."""
        self.cell.close()
        self.trials.close()

    def run(self, at: Place, *arguments: object) -> Row | Quarantined:
        """What `judge(*arguments)` returns for the document at `at`; blocks up to a few times `timeout_s`."""
        if self.apart or at in self.known:
            return self._run_apart(at, *arguments)
        self.cell.write(at)
        signal.setitimer(signal.ITIMER_REAL, self.timeout_s)
        try:
            return self.judge(*arguments)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self.cell.write(NOTHING)

    def _run_apart(self, at: Place, *arguments: object) -> Row | Quarantined:
        verdict = self.known.get(at)
        if not verdict:
            outcome = self._tried_twice(*arguments)
            if not isinstance(outcome, Died):
                self._acquit(at)
                return outcome
            verdict = self._convict(at, outcome)
        self.apart = ALIKE
        return Quarantined(verdict)

    def _tried_twice(self, *arguments: object) -> Row | Died:
        outcome = self.trials.run(*arguments)
        return self.trials.run(*arguments) if isinstance(outcome, Died) else outcome

    def _acquit(self, at: Place) -> None:
        self.apart -= self.apart > 0
        if not self.apart:
            self.trials.close()
        if at in self.known:
            del self.known[at]
            _path(self.folder, at).unlink(missing_ok=True)

    def _convict(self, at: Place, died: Died) -> str:
        log.error("quarantined: record %d of partition %d, %s", at[1], at[0], died.how)
        self.known[at] = died.how
        _path(self.folder, at).write_text(died.how)
        return died.how


class Cell:
    """Which document a living worker has in hand, in a file that it holds locked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("xb+")
        fcntl.flock(self.file, fcntl.LOCK_EX)
        self.file.write(CELL.pack(*NOTHING))
        self.file.flush()
        self.memory = mmap.mmap(self.file.fileno(), CELL.size)

    def write(self, at: Place) -> None:
        CELL.pack_into(self.memory, 0, *at)

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        self.memory.close()
        self.file.close()


def collect(folder: Path, now: float) -> None:
    """Turn the cells of dead workers into suspects: empty files, named by the coordinate. Old verdicts go."""
    for path in folder.glob("cell-*"):
        with path.open("rb") as file:
            if not _lock(file):
                continue  # its worker lives
            held = file.read(CELL.size)
            at = CELL.unpack(held) if len(held) == CELL.size else NOTHING
            if at != NOTHING:
                log.warning(
                    "record %d of partition %d was in hand when its worker died: to be tried apart", at[1], at[0]
                )
                _path(folder, at).touch()
            path.unlink()
    for path in folder.glob("[0-9]*-[0-9]*"):
        if path.stat().st_mtime < now - KEPT_S:
            path.unlink()


def known(folder: Path) -> dict[Place, str]:
    """How the trials of each quarantined document died; empty for a suspect, which is still to be tried."""
    found = {}
    for path in folder.glob("[0-9]*-[0-9]*"):
        partition, offset = path.name.split("-")
        found[int(partition), int(offset)] = path.read_text()
    return found


def _path(folder: Path, at: Place) -> Path:
    return folder / f"{at[0]}-{at[1]}"


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
