"""How long does a killed rank, or a killed TaskManager, hold up the stream? Medians beside what is aimed at.

    python -m benchmarks.recovery [--kills 5] [--only rank|taskmanager] [--rate 8] [--apart 30]

A whole stack with the tiny model, two ranks and documents at a steady pace. A rank counts as recovered when a step is
applied that never was before; a TaskManager, when readers see a block of a window that began after the kill. The time
between is shown in parts, by the lines that the processes log (`headrace.contract.events`, Flink's own).
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

import orjson
from confluent_kafka import Consumer, TopicPartition

from benchmarks.local import stack
from benchmarks.results import machine, tell
from benchmarks.texts import texts
from headrace.client import Publisher
from headrace.contract import events
from headrace.contract.blocks import Block
from headrace.contract.topics import BLOCKS, STEPS
from headrace.contract.training import StepReport, decode_report
from headrace.kafka import Cluster, brokers_of, checked, consumer_config, coordinate
from headrace.local import logfiles, parts
from headrace.local.stack import Stack

AIMS_S = {"rank": 10.0, "taskmanager": 15.0}
RESULTS = {"rank": "rank_recovery", "taskmanager": "taskmanager_recovery"}
SUPERVISOR = "supervisor"
OLD_BLOCK = "an older block"
"""Seen by readers, of a window that was open when the TaskManager was killed, or closed and not committed."""
GIVE_UP_S = 240.0
RANK_STATIONS = {
    "detected": ("trainer", events.RANK_ENDED),
    "all ranks gone": ("trainer", events.RANKS_GONE),
    "started again": ("trainer", events.RANKS_STARTED),
    "imported": ("trainer", events.IMPORTED),
    "group formed": ("trainer", events.GROUP_FORMED),
    "state loaded": ("trainer", events.STATE_LOADED),
    "first step": ("trainer", events.FIRST_STEP),
}
TASKMANAGER_STATIONS = {
    "detected": (SUPERVISOR, "ended"),
    "started again": (SUPERVISOR, "starting"),
    "jobs failed": (parts.JOBMANAGER, r"switched from state RUNNING to RESTARTING"),
    "slots there": (SUPERVISOR, "running"),
    "deployed": (parts.JOBMANAGER, r"switched from DEPLOYING to INITIALIZING"),
    "all tasks run": (parts.JOBMANAGER, r"switched from INITIALIZING to RUNNING"),
}
"""Log and event of each station; of several lines the last one before the end counts."""


@dataclass
class Ear:
    """Hears every applied step and every committed block from now on, as a reader does."""

    consumer: Consumer
    steps: list[StepReport] = field(default_factory=list)
    windows: list[tuple[int, float]] = field(default_factory=list)
    """Beginning of a block's window in epoch milliseconds, and the epoch seconds at which the block came here."""

    @classmethod
    def at(cls, own: Stack) -> Ear:
        cluster, consumer = Cluster(own.settings), Consumer(consumer_config(brokers_of(own.settings)))
        consumer.assign(
            [
                TopicPartition(own.settings.topic(topic), partition, offset)
                for topic in (STEPS, BLOCKS)
                for partition, offset in cluster.end_offsets(topic).items()
            ]
        )
        return cls(consumer)

    def listen(self, stopping: threading.Event) -> None:
        """Until told to stop."""
        while not stopping.is_set():
            for message in self.consumer.consume(500, timeout=0.05):
                at = coordinate(checked(message))
                if at.topic.endswith(BLOCKS):
                    self.windows.append((Block.decode(message.value(), at).window, time.time()))
                elif isinstance(said := decode_report(message.value(), at), StepReport):
                    self.steps.append(said)
        self.consumer.close()

    def new_step(self, killed: float) -> float | None:
        """When a later attempt applied a step that none before a kill had applied; None: not yet."""
        old = {said.attempt for said in self.steps if said.time / 1000 <= killed}
        before = max((said.step for said in self.steps if said.attempt in old), default=-1)
        new = (said.time for said in self.steps if said.attempt not in old and said.step > before)
        return next((time_ms / 1000 for time_ms in new), None)

    def new_block(self, killed: float) -> float | None:
        """When a block was seen of a window that began after a kill; None: not yet."""
        return next((at for window, at in self.windows if window / 1000 > killed), None)

    def old_block(self, killed: float) -> float | None:
        """When the first block was seen after a moment at which those before a kill have surely come."""
        return next((at for _, at in self.windows if at > killed + 1), None)


def publish(own: Stack, rate: float, stopping: threading.Event) -> None:
    """Publish at a steady pace until told to stop."""
    begun, sent = time.monotonic(), 0
    with Publisher(own.settings) as publisher:
        for sent, text in enumerate(texts(own.settings)):
            if stopping.wait(max(0.0, begun + sent / rate - time.monotonic())):
                return
            publisher.publish(text, source="bench")


@contextmanager
def in_threads(*works: Callable[[threading.Event], None]) -> Iterator[None]:
    """Let each work in a thread of its own until the block ends."""
    stopping = threading.Event()
    threads = [threading.Thread(target=work, args=(stopping,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def lines(own: Stack, name: str, since: float) -> Iterator[tuple[float, dict[str, Any]]]:
    """What a part has logged since a moment: epoch seconds and line."""
    for text in logfiles.path_of(own.settings.data_dir, name).read_bytes().splitlines():
        try:
            line = orjson.loads(text)
            moment = datetime.fromisoformat(line["time"]).timestamp()
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            continue
        if moment >= since:
            yield moment, line


def stations(own: Stack, named: dict[str, tuple[str, str]], begin: float, end: float) -> dict[str, float]:
    """When each station was passed between a kill and its end, as far as anyone has logged it."""
    found: dict[str, float] = {}
    for name, (part, event) in named.items():
        for moment, line in lines(own, part, begin):
            ours = part != SUPERVISOR or line.get("child") == parts.TASKMANAGER
            if moment <= end and ours and re.match(f".*{event}", line["event"]):
                found[name] = moment
    return found


def measure(own: Stack, kind: str, ear: Ear) -> dict[str, float]:
    """Kill once; seconds from the kill to each station and to the end."""
    ranks = [name for name in own.pids if name.startswith("rank")]
    recovered = ear.new_step if kind == "rank" else ear.new_block
    killed = time.time()
    own.kill(random.choice(ranks) if kind == "rank" else parts.TASKMANAGER)
    own.wait_until(lambda: recovered(killed) is not None, GIVE_UP_S, f"recovery of a {kind}")
    end = recovered(killed)
    assert end is not None
    passed = stations(own, RANK_STATIONS if kind == "rank" else TASKMANAGER_STATIONS, killed, end)
    if kind == "taskmanager":
        passed[OLD_BLOCK] = ear.old_block(killed) or end
    return {**{name: at - killed for name, at in passed.items()}, "recovered": end - killed}


def show(kind: str, measured: list[dict[str, float]]) -> None:
    """Every kill, and the median of each part."""
    named = RANK_STATIONS if kind == "rank" else TASKMANAGER_STATIONS
    names = [*named, OLD_BLOCK, "recovered"]
    print(f"\n{len(measured)} kills of a {kind}, seconds from the kill to:")
    for name in names:
        found = [passed[name] for passed in measured if name in passed]
        if found:
            print(f"  {name:<16} median {median(found):6.2f}   {'  '.join(f'{value:.2f}' for value in found)}")
    known = [name for name in names if all(name in passed for passed in measured)]
    whole = {name: median(passed[name] for passed in measured) for name in known}
    steps = " → ".join(
        f"{after} {whole[after] - whole[before]:.2f}"
        for before, after in pairwise(sorted(known, key=whole.__getitem__))
    )
    print(f"  parts: {steps}")


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, default=5, help="of each kind")
    arguments.add_argument("--only", choices=sorted(AIMS_S), help="kill one kind alone")
    arguments.add_argument("--rate", type=float, default=8.0, help="documents a second, of some 130 tokens each")
    arguments.add_argument("--apart", type=float, default=30.0, help="seconds of undisturbed work before each kill")
    given = arguments.parse_args()
    print(machine())
    kinds = [given.only] if given.only else list(AIMS_S)
    reached = True
    with stack(parts.ALL, "trainer.model=tiny", "trainer.ranks=2") as own:
        ear = Ear.at(own)
        with in_threads(ear.listen, lambda stopping: publish(own, given.rate, stopping)):
            own.wait_until(lambda: len(ear.steps) > 0, GIVE_UP_S, "a first step")
            for kind in kinds:
                measured = []
                for _ in range(given.kills):
                    time.sleep(given.apart * random.uniform(1.0, 1.2))
                    measured.append(measure(own, kind, ear))
                    print(kind, {name: round(value, 2) for name, value in measured[-1].items()}, flush=True)
                show(kind, measured)
                reached &= tell(RESULTS[kind], AIMS_S[kind] / median(one["recovered"] for one in measured))
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
