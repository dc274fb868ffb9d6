"""Makes a fault happen, and says when it fired: at its point, inside work. One that met an idle process is repeated."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from headrace.contract.settings import CONFIG_VARIABLE, ROOT, load
from headrace.kafka import Cluster
from headrace.local import state
from headrace.local.parts import PLANNER, TASKMANAGER, TRAINER
from tests.clock import clock_of
from tests.disks import full
from tests.fault.outside import OUTSIDE, in_open_transactions
from tests.fault.plan import Fault
from tests.fault.world import COME_S, At, Order, World

TRIES = 10
MISSED_S = 3.0
"""After so long it shows that something was killed, though not at its point."""
FULL_FOR_S = 3.0
"""How long a disk stays full once that was noticed."""


@dataclass(frozen=True)
class Struck:
    """A fault that fired, and what there was before: the last planned step, the attempt, restarts of the part."""

    at: At
    planned: int
    attempt: str
    restarts: int
    tries: int


def strike(world: World, fault: Fault) -> Struck:
    """Wait for work, and break it; raises AssertionError if it was not hit in TRIES tries."""
    for tries in range(1, TRIES + 1):
        world.wait_for_work()
        attempt, restarts = world.witness.attempt, world.restarts(part_of(fault.victim))
        if (at := STRIKES[fault.deed](world, fault)) is not None:
            return Struck(at, world.witness.planned, attempt, restarts, tries)
        time.sleep(MISSED_S)
    raise AssertionError(f"{fault} was not hit in {TRIES} tries; {world.told()}")


def part_of(victim: str) -> str:
    """The part of the stack that is started again when the victim is dead."""
    return TRAINER if victim.startswith("rank") else victim


def come(world: World, fault: Fault, deed: str) -> Order | None:
    """Order a process of ours to do this to itself when it comes to the point; None if it does not come."""
    order = world.order(deed, fault)
    fired = world.comes(lambda: order.fired, COME_S)
    world.disarm()
    return order if fired else None


def inside(world: World, fault: Fault) -> At | None:
    """What a process does to itself is all of the fault, but for the number of ranks that go on."""
    if (order := come(world, fault, fault.deed)) is None:
        return None
    if fault.ranks:
        state.request(world.settings.data_dir, do="ranks", ranks=fault.ranks)
    return order.at


def kill(world: World, fault: Fault) -> At | None:
    """SIGKILL; what knows no points of ours is killed from here."""
    if fault.point not in OUTSIDE:
        return inside(world, fault)
    return OUTSIDE[fault.point](world, world.stack.pids[fault.victim], signal.SIGKILL)


def pause(world: World, fault: Fault) -> At | None:
    """SIGSTOP, and SIGCONT if it is still there then: its peers may have lost patience."""
    if fault.point in OUTSIDE:
        pid = world.stack.pids[fault.victim]
        fired = OUTSIDE[fault.point](world, pid, signal.SIGSTOP)
    elif order := come(world, fault, "pause"):
        pid, fired = order.pid, order.at
    else:
        return None
    world.comes(lambda: False, fault.seconds)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)
    return fired


def replace_planner(world: World, fault: Fault) -> At | None:
    """The planner sleeps with a record written and not committed; a second one plans; the first wakes, and must end."""
    if (order := come(world, fault, "pause")) is None:
        return None
    planned, restarts = world.witness.planned, world.restarts(PLANNER)
    own = load(environment=world.settings.environment(), assignments=["local.ports.planner_metrics=0"]).settings
    environment = {**os.environ, **own.environment(), CONFIG_VARIABLE: os.devnull}
    with (world.settings.data_dir / "logs" / "second-planner.log").open("ab") as log:
        second = subprocess.Popen(
            [sys.executable, "-m", "services.planner"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        world.wait(lambda: world.witness.planned > planned, 120, "the second planner plans")
        os.kill(order.pid, signal.SIGCONT)
        world.wait(lambda: world.restarts(PLANNER) > restarts, 60, "the first planner finds that it was replaced")
        world.wait(lambda: second.poll() is not None, 120, "the second planner finds that it was replaced")
        assert second.returncode == 1, f"the second planner ended with {second.returncode}"
    finally:
        second.kill()
        second.wait()
    return order.at


def fill(world: World, fault: Fault) -> At | None:
    """Not a byte is left while a checkpoint is half written; free again once the trainer has said so."""
    if (order := come(world, fault, "hold")) is None:
        return None
    with full(world.settings.checkpoint_dir):
        order.release()
        world.wait(lambda: world.witness.save_error != "", COME_S, "a report says that a checkpoint failed")
        world.comes(lambda: False, FULL_FOR_S)
    world.wait(lambda: world.witness.save_error == "", COME_S, "a checkpoint is written again")
    return order.at


def set_clock(world: World, fault: Fault) -> At | None:
    """While a transaction is open; a process of the stack must then say the other time."""
    cluster = Cluster(world.settings)
    world.wait(lambda: in_open_transactions(cluster) > 0, COME_S, "an open transaction")
    world.set_clock(world.clock_s + fault.seconds)
    fired = world.now()
    there = clock_of(psutil.Process(world.stack.pids[TASKMANAGER]))
    assert abs(there - time.time() - world.clock_s) < abs(fault.seconds) / 2, "the stack has this clock"
    return fired


STRIKES: dict[str, Callable[[World, Fault], At | None]] = {
    "kill": kill,
    "pause": pause,
    "tear": inside,
    "disconnect": inside,
    "replace": replace_planner,
    "fill": fill,
    "clock": set_clock,
}
