"""Ranks without torch, for `trainer.fleet`: each does what a file `order-RANK` in the data directory says.

fail CODE   end with this code, in each attempt, at the step where it is
further     the same, one step further each time, seven times
sleep       stay where it is, deaf
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import trainer.fleet
from headrace.contract.settings import Settings
from trainer.board import Board, guard


def of_fleet(settings: Settings, rank: int, meeting: str, launcher: int, board: Board) -> NoReturn:
    """In place of `trainer.__main__.of_fleet`."""
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    order = settings.data_dir / f"order-{rank}"
    attempt = int(meeting.rpartition("-")[2])
    while not told:
        match order.read_text().split() if order.exists() else []:
            case ["fail", code]:
                board.write(rank, 3, "compute")
                sys.exit(int(code))
            case ["further"] if attempt < 7:
                board.write(rank, 3 + attempt, "compute")
                sys.exit(1)
            case ["sleep"]:
                board.write(rank, 5, "reduce")
                signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
                guard(settings.trainer.watchdog_s)
                time.sleep(600)
        board.write(rank, 3, "wait")
        (settings.data_dir / f"up-{os.getpid()}").touch()
        time.sleep(0.02)
    sys.exit(0)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    trainer.fleet.RANK, trainer.fleet.IMPORTED_ONCE = "ranks_of_tests", ("ranks_of_tests",)
    trainer.fleet.PAUSE_S = float(sys.argv.pop(1))
    trainer.fleet.TRACEBACK_S = 4
    sys.exit(trainer.fleet.main())
