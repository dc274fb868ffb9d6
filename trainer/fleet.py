"""All ranks on one machine: `python -m trainer.fleet` runs `trainer.ranks` times `python -m trainer`.

Why not torchrun, which starts the same ranks on several machines: importing torch and transformers costs each of its
processes seconds of CPU, and its own. Here one fork server imports once, while it has no tensor and no thread of torch,
and each rank is a fork of it. Nor does torchrun tell a clean end on SIGTERM from a failed one.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import FrameType

from headrace.arguments import settings_of
from headrace.contract.errors import HeadraceError
from headrace.contract.events import RANK_ENDED, RANKS_GONE, RANKS_STARTED
from headrace.observe import start_logging

log = logging.getLogger("headrace")

IMPORTED_ONCE = ["trainer.loop", "trainer.start", "trainer.stream", "transformers.models.llama.modeling_llama"]
FAILED_S = 10.0
"""After a rank has failed the others have this long to end by themselves."""
TYPED = (4, 2, 3)
"""Exit codes that say why; others only follow from them when several ranks fail at once."""


class Fleet:
    """The ranks, and whether they were told to end."""

    def __init__(self, ranks: int, meeting: str) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(IMPORTED_ONCE)
        self.ranks: list[BaseProcess] = [
            context.Process(target=run_rank, args=(rank, ranks, meeting, os.getpid())) for rank in range(ranks)
        ]
        self.told = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._tell)

    def _tell(self, number: int, frame: FrameType | None) -> None:
        self.told = True

    def run(self) -> int:
        """Start all, pass on SIGTERM, wait for all; the exit code of the rank that failed first, else 0."""
        for rank in self.ranks:
            rank.start()
        log.info(RANKS_STARTED, extra={"pids": [rank.pid for rank in self.ranks], "restarts": 0})
        code, deadline, passed_on = 0, float("inf"), False
        while alive := [rank for rank in self.ranks if rank.is_alive()]:
            wait([rank.sentinel for rank in alive], timeout=0.2)
            if not code and (code := first_failure(self.ranks)):
                deadline = time.monotonic() + FAILED_S
                log.warning(RANK_ENDED, extra={"code": code})
            if (code or self.told) and not passed_on:
                passed_on = True
                _signal(alive, signal.SIGTERM)
            if time.monotonic() > deadline:
                _signal(alive, signal.SIGKILL)
        code = code or first_failure(self.ranks)
        log.info(RANKS_GONE, extra={"code": code})
        too_young_to_hear = self.told and code == 128 + signal.SIGTERM
        return 0 if too_young_to_hear else code


def run_rank(rank: int, ranks: int, meeting: str, launcher: int) -> None:
    """The child: one rank, as if started alone."""
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(ranks),
        LOCAL_RANK=str(rank),
        LOCAL_WORLD_SIZE=str(ranks),
        TRAINER_MEETING=meeting,
        TRAINER_LAUNCHER=str(launcher),
        GLOO_SOCKET_IFNAME=os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    )
    runpy.run_module("trainer", run_name="__main__")


def first_failure(ranks: Sequence[BaseProcess]) -> int:
    """The exit code to pass on from ranks that have failed: one that says why, if any does; 0 if none has failed."""
    codes = [rank.exitcode if rank.exitcode > 0 else 128 - rank.exitcode for rank in ranks if rank.exitcode]
    return next((code for code in TYPED if code in codes), codes[0] if codes else 0)


def _signal(ranks: Sequence[BaseProcess], number: signal.Signals) -> None:
    for rank in ranks:
        if rank.is_alive() and rank.pid:
            os.kill(rank.pid, number)


def main() -> int:
    """The fleet of the settings. (The ranks read the same arguments and the same environment.)"""
    start_logging("fleet", "INFO")
    try:
        settings = settings_of("trainer.fleet", "All ranks of a trainer on one machine.")
    except HeadraceError as error:
        log.error(str(error), extra={"exit_code": error.exit_code})
        return error.exit_code
    log.setLevel(settings.log.level)
    meetings = settings.data_dir / "run"  # not /tmp, which others tidy up while a fleet lives for weeks
    meetings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fleet-", dir=meetings) as folder:
        code = Fleet(settings.trainer.ranks, f"file://{folder}/meeting").run()
    log.info("ended", extra={"exit_code": code})
    return code


if __name__ == "__main__":
    sys.exit(main())
