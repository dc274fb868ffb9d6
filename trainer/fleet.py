"""All ranks on one machine: `python -m trainer.fleet` runs `trainer.ranks` times `python -m trainer`.

Why not torchrun, which starts the same ranks on several machines: importing torch and transformers costs each of its
processes seconds of CPU, and its own. This process imports once, makes no tensor and no thread of torch, and each rank
is a fork of it; so is whoever takes the place of a rank that was lost. Nor does torchrun tell a clean end on SIGTERM
from a failed one.
"""

from __future__ import annotations

import gc
import importlib
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType

from headrace.arguments import settings_of
from headrace.contract import fleet
from headrace.contract.errors import DependencyError, HeadraceError
from headrace.contract.events import GAVE_UP, RANK_ENDED, RANK_STUCK, RANKS_GONE, RANKS_STARTED
from headrace.contract.fleet import FleetState
from headrace.contract.settings import Settings
from headrace.observe import start_logging
from trainer.board import START, Board

log = logging.getLogger("headrace")

RANK = "trainer.__main__"
IMPORTED_ONCE = (RANK, "transformers.models.llama.modeling_llama")
TOLD = (signal.SIGTERM, signal.SIGINT)
TICK_S = 0.2
FAILED_S = 5.0
"""After a rank was lost the others have this long to end by themselves, and to save what they have."""
TRACEBACK_S = 5.0
"""A stuck rank has this long, beyond the watchdog's time, to write its traceback and end."""
TYPED = (4, 2, 3)
"""Exit codes that say why; others only follow from them when several ranks fail at once. No restart here mends them."""
IN_VAIN = 5
"""So many restarts in a row may come to nothing."""
PAUSE_S = 1.0
"""Before the second of them; twice as long before each further one."""
HEALTHY_S = 60.0
"""Ranks that lived so long were well, even if there was nothing to train."""


@dataclass
class Patience:
    """When to start ranks again: at once, the first time; later and later while no new step is trained; then never."""

    reached: int = -1
    in_vain: int = 0

    def pause_s(self, reached: int, lived_s: float) -> float | None:
        """Seconds before the next start, after ranks that lived so long and came to this step; None: give up."""
        if reached > self.reached or lived_s >= HEALTHY_S:
            self.in_vain = 0
        self.reached = max(reached, self.reached)
        self.in_vain += 1
        if self.in_vain > IN_VAIN:
            return None
        return PAUSE_S * 2 ** (self.in_vain - 2) if self.in_vain > 1 else 0.0


class Fleet:
    """The ranks, and whether they were told to end. `folder` is where they meet."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        self.board = Board(settings.trainer.ranks)
        self.restarts = 0
        self.why = ""
        self.told = False
        for number in TOLD:
            signal.signal(number, self._tell)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self.told = True

    def run(self) -> int:
        """Keep all ranks running until they end by themselves, or are told to; the exit code that says why."""
        self.say()
        prepare_forks()
        patience, code = Patience(), 0
        while not self.told:
            begun = time.monotonic()
            code = self.attempt()
            if not code or code in TYPED or self.told:
                break
            pause = patience.pause_s(self.reached(), time.monotonic() - begun)
            if pause is None:
                log.error(GAVE_UP.format(restarts=IN_VAIN, why=self.why), extra={"exit_code": code})
                return HeadraceError.exit_code
            self.restarts += 1
            self.rest(pause)
        return code

    def rest(self, pause_s: float) -> None:
        """Let time pass, unless told to end."""
        deadline = time.monotonic() + pause_s
        while not self.told and time.monotonic() < deadline:
            time.sleep(TICK_S)

    def reached(self) -> int:
        """The highest step that a rank had at hand."""
        return max(self.board.of(rank).step for rank in range(self.board.ranks))

    def attempt(self) -> int:
        """Start all ranks, pass on SIGTERM, wait until all are gone; the exit code of one that failed, else 0."""
        self.board.begin()
        ranks = self.start()
        log.info(RANKS_STARTED, extra={"pids": [rank.pid for rank in ranks], "restarts": self.restarts})
        self.say(ranks)
        deadline, told, ended, stuck = float("inf"), False, list[int](), set[int]()
        while alive := [rank for rank in ranks if rank.is_alive()]:
            wait([rank.sentinel for rank in alive], timeout=TICK_S)
            self.end_stuck(ranks, stuck)
            if self.note_ended(ranks, ended) and deadline == float("inf"):
                deadline = time.monotonic() + FAILED_S
                self.say()
                self.let_go(ranks)
            if self.told and not told:
                told = True
                _signal(ranks, signal.SIGTERM)
            if time.monotonic() > deadline:
                _signal(ranks, signal.SIGKILL)
        self.note_ended(ranks, ended)
        code = first_failure([ranks[number] for number in ended])
        if code:
            log.info(RANKS_GONE, extra={"code": code})
        too_young_to_hear = self.told and code == 128 + signal.SIGTERM
        return 0 if too_young_to_hear else code

    def start(self) -> list[BaseProcess]:
        """A process for every rank."""
        context = multiprocessing.get_context("fork")
        meeting = self.folder / f"meeting-{self.restarts}"
        of_last = self.folder / f"meeting-{self.restarts - 1}"
        of_last.unlink(missing_ok=True)
        ranks: list[BaseProcess] = []
        with _held(TOLD):
            for number in range(self.board.ranks):
                rank = context.Process(target=be_rank, args=(self, number, f"file://{meeting}", os.getpid()))
                try:
                    rank.start()
                except OSError as error:
                    _signal(ranks, signal.SIGKILL)
                    raise DependencyError(f"no process for rank {number}: {error.strerror}") from error
                ranks.append(rank)
        return ranks

    def say(self, ranks: Sequence[BaseProcess] = ()) -> None:
        """Tell the supervisor of the stack."""
        pids = tuple(rank.pid for rank in ranks if rank.pid)
        said = FleetState(pid=os.getpid(), restarts=self.restarts, ranks=pids, why=self.why)
        try:
            said.write(self.settings.data_dir, self.settings.trainer.run)
        except OSError as error:
            log.warning("state not written", extra={"why": str(error)})

    def note_ended(self, ranks: Sequence[BaseProcess], known: list[int]) -> bool:
        """Say once of each rank that failed where it was, and add it to `known`; whether one has."""
        for number, rank in enumerate(ranks):
            if rank.exitcode and number not in known:
                known.append(number)
                at, code = self.board.of(number), as_code(rank.exitcode)
                if len(known) == 1:
                    self.why = f"rank {number} ended with {code} {at}"
                extra = {"rank": number, "pid": rank.pid, "code": code, "step": at.step, "in": at.part}
                log.warning(RANK_ENDED, extra={**extra, "for_s": round(at.for_s, 2)})
        return bool(known)

    def let_go(self, ranks: Sequence[BaseProcess]) -> None:
        """Have the others end: those that have nothing to save at once."""
        young = [rank for number, rank in enumerate(ranks) if self.board.of(number).part == START]
        _signal(young, signal.SIGKILL)
        _signal(ranks, signal.SIGTERM)

    def end_stuck(self, ranks: Sequence[BaseProcess], known: set[int]) -> None:
        """Name every rank that stays where it is for too long, and end it if it does not end itself."""
        for number, rank in enumerate(ranks):
            at = self.board.of(number)
            if not rank.is_alive() or (late := at.for_s - self.settings.trainer.watchdog_s) < 0:
                continue
            if number not in known:
                known.add(number)
                extra = {"rank": number, "pid": rank.pid, "step": at.step, "in": at.part}
                log.error(RANK_STUCK, extra={**extra, "for_s": round(at.for_s, 1)})
            if late > TRACEBACK_S:
                _signal([rank], signal.SIGKILL)


def prepare_forks() -> None:
    """Import all that a rank needs. No tensor, no thread and no group: a fork of them would be of no use."""
    for module in IMPORTED_ONCE:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a rank would otherwise write to all of these pages, and so copy them


def be_rank(fleet: Fleet, rank: int, meeting: str, launcher: int) -> None:
    """The child: one rank, until it ends."""
    for number in TOLD:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TOLD)
    importlib.import_module(RANK).of_fleet(fleet.settings, rank, meeting, launcher, fleet.board)


def first_failure(ranks: Sequence[BaseProcess]) -> int:
    """The exit code to pass on from ranks in the order in which they failed: one that says why, if any does, else the
    first, for the others may have been ended because of it; 0 if none has failed.
    """
    codes = [as_code(rank.exitcode) for rank in ranks if rank.exitcode]
    return next((code for code in TYPED if code in codes), codes[0] if codes else 0)


def as_code(exitcode: int) -> int:
    """The exit code as a shell would say it: 128 and the signal for who died of one."""
    return exitcode if exitcode > 0 else 128 - exitcode


@contextmanager
def _held(signals: Sequence[signal.Signals]) -> Iterator[None]:
    """Keep signals back: a child would take one for its parent's before it has handlers of its own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)


def _signal(ranks: Sequence[BaseProcess], number: signal.Signals) -> None:
    for rank in ranks:
        if rank.is_alive() and rank.pid:
            os.kill(rank.pid, number)


def main() -> int:
    """The fleet of the settings."""
    start_logging("fleet", "INFO")
    try:
        settings = settings_of("trainer.fleet", "All ranks of a trainer on one machine.")
        log.setLevel(settings.log.level)
        code = run(settings)
    except HeadraceError as error:
        log.error(str(error), extra={"exit_code": error.exit_code})
        return error.exit_code
    log.info("ended", extra={"exit_code": code})
    return code


def run(settings: Settings) -> int:
    """Run the fleet; the exit code."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    meetings = settings.data_dir / "run"  # not /tmp, which others tidy up while a fleet lives for weeks
    meetings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=meetings) as folder:
        code = Fleet(settings, Path(folder)).run()
    fleet.path_of(settings.data_dir, settings.trainer.run).unlink(missing_ok=True)
    return code


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # else libraries that torch brings along write a page on what they leak, behind the reason
