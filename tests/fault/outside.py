"""Points of processes that are not ours, or that know none: they are told from what the topics and the disk show."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from headrace.contract.topics import CLEAN as CLEAN_TOPIC
from headrace.flink import SavedState, newest_state, positions
from headrace.jobs import CLEAN
from headrace.jobs.counting import OFFSET, outcomes
from headrace.kafka import Cluster
from headrace.local.parts import TASKMANAGER
from tests.fault.plan import METADATA, OPEN_TRANSACTION, STEP
from tests.fault.world import COME_S, At, World


def at_open_transaction(world: World, pid: int, blow: signal.Signals) -> At | None:
    """While a job has written what nobody sees yet; None if it was committed just before a TaskManager was hit."""
    cluster, writes = Cluster(world.settings), world.stack.pids[TASKMANAGER]
    world.wait(lambda: in_open_transactions(cluster) > 0, COME_S, "an open transaction")
    os.kill(pid, blow)
    fired = world.now()
    return None if pid == writes and not in_open_transactions(cluster) else fired


def in_open_transactions(cluster: Cluster) -> int:
    """Offsets of `text.clean` that no reader sees yet."""
    ends = cluster.end_offsets(CLEAN_TOPIC, committed=False)
    return sum(ends.values()) - sum(cluster.end_offsets(CLEAN_TOPIC).values())


def between_metadata_and_commit(world: World, pid: int, blow: signal.Signals) -> At | None:
    """Right when the next checkpoint of the clean job is complete; None if its commit was faster."""
    cluster, folder = Cluster(world.settings), CLEAN.folder(world.settings)
    world.wait(lambda: in_open_transactions(cluster) > 0, COME_S, "an open transaction")
    newest = newest_checkpoint(folder)
    complete = newest.path.with_name(f"chk-{newest.number + 1}") / "_metadata"
    deadline = time.monotonic() + COME_S
    while not complete.exists() and time.monotonic() < deadline:
        pass  # the commit follows within milliseconds
    os.kill(pid, blow)
    fired = world.now()
    return fired if uncommitted(world, complete.parent) else None


def newest_checkpoint(folder: Path) -> SavedState:
    """Of a job that runs, and has one."""
    while True:
        with suppress(FileNotFoundError):  # an older one is being deleted
            newest = newest_state(folder)
            assert newest is not None
            return newest


def uncommitted(world: World, checkpoint: Path) -> int:
    """Documents that the clean job counts as read in its newest checkpoint, this one, and whose outcome nobody sees."""
    cluster, newest = Cluster(world.settings), newest_checkpoint(CLEAN.folder(world.settings))
    if newest.path != checkpoint:
        return 0
    ends = {name: cluster.end_offsets(name) for name in CLEAN.outputs}
    seen = {(key >> 48, key & OFFSET) for key in outcomes(cluster, CLEAN, {}, ends).tolist()}
    read = positions(newest, world.settings.topic(CLEAN.input))
    return sum((partition, offset) not in seen for partition, end in read.items() for offset in range(end))


def at_step(world: World, pid: int, blow: signal.Signals) -> At | None:
    """Right when a step was reported."""
    before = world.witness.trained
    world.wait(lambda: world.witness.trained > before, COME_S, "a step")
    os.kill(pid, blow)
    return world.now()


OUTSIDE: dict[str, Callable[[World, int, signal.Signals], At | None]] = {
    OPEN_TRANSACTION: at_open_transaction,
    METADATA: between_metadata_and_commit,
    STEP: at_step,
}
