"""A whole small stack under test: documents come all the time, every report is seen, and processes obey orders.

with World(folder, seed=7) as world:
    struck, recovery = recovered(world, kill("rank1").at("backward"))       # tests/fault/recovery.py
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from headrace.contract.settings import ROOT, Settings
from headrace.local.parts import JOBS, ready
from headrace.local.stack import Stack, check
from tests.clock import FILE, set_clock
from tests.fault import points
from tests.fault.ledger import Ledger
from tests.fault.plan import Fault
from tests.fault.witness import Witness
from tests.small_stack import make_settings

SETTINGS = (
    "planner.step_blocks=8",
    "planner.linger_s=0.3",
    "trainer.leaf_blocks=2",
    "trainer.checkpoint_steps=20",
    "trainer.checkpoint_s=1.5",
    "trainer.fetch_timeout_s=15",
    "trainer.collective_timeout_s=25",
    "trainer.watchdog_s=60",
    "local.least_free_mb=8",
)
"""Short steps, checkpoints all the time, time-outs that a fault of seconds reaches."""
DATA = "data"
COME_S = 60.0
"""How long a process may take to come to its point."""
POLL_S = 0.05
START_S = 600.0
WORK_S = 240.0
"""However slow the machine, work goes on by then."""


@dataclass(frozen=True)
class At:
    """Where a fault fired: seconds of the monotonic clock, and the step in hand, or trained last."""

    time: float
    step: int


NOWHERE = At(0.0, -1)


@dataclass
class Order:
    """What was left for a process; `at` and `pid` tell of the one that came, once it has `fired`."""

    folder: Path
    id: str
    pid: int = 0
    at: At = NOWHERE

    @property
    def fired(self) -> bool:
        """Whether a process has come to the point."""
        path = self.folder / f"{self.id}.fired"
        if path.exists():
            said = json.loads(path.read_bytes())
            self.pid, self.at = said["pid"], At(said["at"], said["step"])
        return self.pid > 0

    def release(self) -> None:
        (self.folder / f"{self.id}.released").touch()


class World:
    """See the module. `seed` decides the texts alone; `clock` is what `tests.clock.build_clock` gave, if it did.

    The stack is in `folder`/data; orders, answers and delivery reports lie in `folder`/faults.
    """

    def __init__(self, folder: Path, seed: int, clock: Mapping[str, str] | None = None) -> None:
        self.folder = folder / "faults"
        self.folder.mkdir()
        self.seed = seed
        self.clock = clock or {}
        self.clock_s = 0
        """By how much the clock of the stack is off."""
        self.stack = Stack(make_settings(folder / DATA, *SETTINGS))
        self.orders = 0

    def __enter__(self) -> World:
        inside = Path(points.__file__).with_name("inside")
        with environment({"PYTHONPATH": f"{inside}:{ROOT}", points.FOLDER: str(self.folder), **self.clock}):
            self.stack.__enter__()
        try:
            self.stack.wait_running(START_S)
            self.witness = Witness(self.settings)
            self.ledger = Ledger(self.settings, self.acknowledged, self.seed)
            self.ledger.thread.start()
        except BaseException:
            self.stack.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ledger.stopping.set()
        self.ledger.thread.join()
        self.witness.close()
        self.stack.__exit__(kind, error, trace)

    @property
    def settings(self) -> Settings:
        """Those with which the stack was started."""
        return self.stack.settings

    @property
    def acknowledged(self) -> Path:
        """The file of all delivery reports."""
        return self.folder / "acknowledged"

    def wait(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Block until `done()`, the witness looking all the time; AssertionError names `what` did not come."""
        if not self.comes(done, timeout_s):
            raise AssertionError(f"{what}: not within {timeout_s:.0f} s; {self.told()}")

    def first(self, times: Callable[[], Iterator[float]], what: str) -> float:
        """Block until there is one of these times."""
        self.wait(lambda: any(times()), WORK_S, what)
        return next(times())

    def comes(self, done: Callable[[], bool], timeout_s: float) -> bool:
        """Whether `done()` becomes true in time; raises what a part failed for that is not started again."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.witness.look()
            check(self.stack.state())
            if done():
                return True
            time.sleep(POLL_S)
        return False

    def wait_for_work(self) -> None:
        """Block until all parts run and a step has just been trained."""
        self.wait(self.well, WORK_S, "all parts run")
        before = self.witness.trained
        self.wait(lambda: self.witness.trained > before, WORK_S, "a step is trained")

    def well(self) -> bool:
        """Whether every part and both jobs run."""
        return all(part.state == "running" for part in self.stack.state().parts) and ready(JOBS, self.settings)

    def now(self) -> At:
        return At(time.monotonic(), self.witness.trained)

    def restarts(self, part: str) -> int:
        """How often a part of the stack was started again; 0 for what is none."""
        return next((each.restarts for each in self.stack.state().parts if each.name == part), 0)

    def order(self, deed: str, fault: Fault) -> Order:
        """Arm the point of a fault: its victim does this to itself when it comes there."""
        self.orders += 1
        order = Order(self.folder, str(self.orders))
        port = self.settings.local.ports.broker
        said = {**asdict(fault), "deed": deed, "id": order.id, "broker_port": port}
        new = self.folder / "armed.new"
        new.write_text(json.dumps(said))
        new.replace(self.folder / points.ARMED)
        return order

    def disarm(self) -> None:
        (self.folder / points.ARMED).unlink(missing_ok=True)

    def set_clock(self, seconds: int) -> None:
        """Let every process of the stack be off by so much."""
        self.clock_s = seconds
        set_clock(Path(self.clock[FILE]), seconds)

    def told(self) -> str:
        """The state of all, for a message."""
        parts = ", ".join(f"{part.name} {part.state}" for part in self.stack.state().parts)
        return f"{parts}; planned {self.witness.planned}, trained {self.witness.trained}, see {self.settings.data_dir}"


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """This process's environment with more in it during the block: what it starts inherits it."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
