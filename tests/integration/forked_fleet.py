"""A trainer's fleet as a fork of what has imported torch once: ten fleets of one test file need it ten times."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.forks import FORKS
from trainer import fleet


class ForkedFleet:
    """`python -m trainer.fleet` in all but its start: the same environment, signals, output and exit code."""

    def __init__(self, environment: Mapping[str, str], output: Path) -> None:
        self.process = FORKS.Process(target=be_fleet, args=(dict(environment), output))
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing to one that has ended."""
        if self.exit_code is None:
            os.kill(self.pid, number)

    def wait(self, timeout_s: float) -> int:
        """Until it has ended; its exit code."""
        self.process.join(timeout_s)
        assert self.exit_code is not None, f"the fleet has not ended within {timeout_s:.0f} s"
        return self.exit_code


def be_fleet(environment: dict[str, str], output: Path) -> None:
    """The child."""
    os.environ.clear()
    os.environ.update(environment)
    with output.open("w") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    sys.argv = [fleet.__name__]
    code = fleet.main()
    sys.stdout.flush()
    os._exit(code)
