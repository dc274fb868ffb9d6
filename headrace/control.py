"""What operators ask of a run, through `train.control`, and whether it has been done."""

from __future__ import annotations

import time
from collections.abc import Iterator

from confluent_kafka import Producer

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings
from headrace.contract.topics import CHECKPOINTS, CONTROL
from headrace.contract.training import CheckpointAnnouncement, Command, Report
from headrace.kafka import QUIET, Cluster, brokers_of, coordinate, producer_config
from headrace.runs import QUIET_S, last_planned, last_report, next_step

POLL_S = 0.3


def command(settings: Settings, run: str, what: str, now: float) -> Command:
    """Ask a run for something, through `train.control`. To ask again before it was done changes nothing.

    Returns when the broker has it; raises DependencyError when it does not take it.
    """
    asked = Command.model_validate({"run": run, "id": what, "command": what, "time": int(now * 1000)})
    producer = Producer(producer_config(brokers_of(settings), **QUIET))
    producer.produce(settings.topic(CONTROL), asked.encode(), asked.key, partition=0)
    if producer.flush(10):
        raise DependencyError(f"no broker at {brokers_of(settings)} took the command: start one with `headrace up`")
    return asked


def why_not_promote(cluster: Cluster, run: str, now: float) -> str:
    """Why the planner would wait for a run if it were the main one, and how long; empty if it would not."""
    last, planned = last_report(cluster, run), last_planned(cluster)
    if last is None or now - last.time / 1000 > QUIET_S:
        ago = f"for {now - last.time / 1000:,.0f} s" if last else "lately"
        return (
            f"run {run} has reported nothing {ago}: the planner would write no step until it is trained and has caught"
            f" up. Start it first: `headrace runs start {run}`"
        )
    end, ahead = planned.step + 1 if planned else 0, cluster.settings.planner.ahead
    if end - next_step(last) > ahead:
        return (
            f"run {run} is before step {next_step(last):,}, the plan before step {end:,}: the planner would write no"
            f" step until it is within {ahead} of its end (planner.ahead). Wait for that: `headrace runs list`"
        )
    return ""


def announcements(cluster: Cluster, run: str) -> Iterator[CheckpointAnnouncement]:
    """A run's checkpoints as `train.checkpoints` tells of them, also of some whose weights were pruned since."""
    for message in cluster.read_all(CHECKPOINTS):
        if message.value() is not None:
            announced = CheckpointAnnouncement.decode(message.value(), coordinate(message))
            if announced.run == run:
                yield announced


def wait_for_checkpoint(
    cluster: Cluster, asked: Command, before: Report | None, timeout_s: float
) -> CheckpointAnnouncement:
    """Block until a checkpoint holds all that the run had trained when it was asked; `before`: its last report then.

    Raises DependencyError after `timeout_s`, saying what it waits for.
    """
    deadline = time.monotonic() + timeout_s
    wanted = next_step(before) if before else 0
    while True:
        there = announcements(cluster, asked.run)
        fitting = [found for found in there if found.step >= wanted or found.time >= asked.time]
        if fitting:
            return max(fitting, key=lambda found: found.step)
        if time.monotonic() > deadline:
            why = _what_it_waits_for(last_report(cluster, asked.run), asked, time.time())
            raise DependencyError(f"no checkpoint of run {asked.run} at step {wanted} after {timeout_s:.0f} s: {why}")
        time.sleep(POLL_S)


def _what_it_waits_for(last: Report | None, asked: Command, now: float) -> str:
    if last is None or now - last.time / 1000 > QUIET_S:
        ago = f"{now - last.time / 1000:.0f} s" if last else "long"
        return (
            f"it has reported nothing for {ago}: see `headrace status`; it goes on from its last one when it runs again"
        )
    if last.save_error:
        return f"{last.save_error}: free the disk, then ask again"
    return f"it trains step {next_step(last)} and saves behind it: ask again, which changes nothing, or raise --timeout"
