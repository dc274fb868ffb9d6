"""Synthetic steps in memory or on a broker, and the trainer's loop without Kafka, for benchmarks of the trainer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headrace.contract.blocks import Block
from headrace.contract.digests import block_digest, file_sha256, run_digest
from headrace.contract.errors import Coordinate
from headrace.contract.plan import Run, Step
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS
from headrace.contract.training import StepReport
from headrace.kafka import Cluster, coordinate, transactional_producer
from services.planner.log import PlanLog, ensure_origin
from services.planner.planner import Arrival, Planner, Tail
from trainer.assemble import Work
from trainer.checkpoint import Checkpoints
from trainer.group import Group
from trainer.loop import Run as TrainerRun
from trainer.model import SHIPPED, vocabulary_size
from trainer.proof import Fetched
from trainer.report import Stopwatch
from trainer.saver import Saver
from trainer.schedule import Schedule
from trainer.start import Source, begin, resume
from trainer.state import State

Planned = tuple[Step, list[Fetched]]


@dataclass
class Listener:
    """What the loop reports to, in place of Kafka."""

    reports: list[StepReport] = field(default_factory=list)

    def step(self, report: StepReport) -> None:
        self.reports.append(report)

    def saved(self, outcome: Any) -> None: ...


class Nobody:
    """An operator who asks for nothing."""

    save = stop = stop_idle = False

    def look(self) -> None: ...

    def saved(self) -> None: ...


def write_model(folder: Path, hidden: int, layers: int = 2) -> Path:
    """The shipped model `small` at another width and depth."""
    config = json.loads((SHIPPED / "small/config.json").read_text())
    path = folder / f"hidden{hidden}"
    path.mkdir()
    size = {"hidden_size": hidden, "intermediate_size": hidden * 344 // 128, "num_hidden_layers": layers}
    (path / "config.json").write_text(json.dumps({**config, **size}))
    return path


def make_block(dice: np.random.Generator, settings: Settings, tokenizer: str, vocabulary: int) -> Block:
    """A full block of one or two documents, its tokens drawn as words are: few of them often."""
    length = settings.tokenize.block_tokens
    start = np.array([0, int(dice.integers(1, length))], np.int32)
    return Block(
        tokens=(dice.zipf(1.3, length) % vocabulary).astype(np.uint16 if vocabulary <= 2**16 else np.uint32),
        doc_raw=np.array([[0, 1], [1, 2]]),
        doc_start=start,
        doc_from=np.zeros(2, np.int32),
        doc_tokens=np.diff(start, append=length).astype(np.int32),
        doc_before=np.zeros(2, np.int32),
        doc_source=np.zeros(2, np.int32),
        sources=("bench",),
        tokenizer=tokenizer,
        window=0,
        shard=0,
        number=0,
    )


def planned(settings: Settings, steps: int, blocks: int) -> list[Planned]:
    """A plan of `steps` steps of `blocks` full blocks each, all on one partition."""
    tokenizer, vocabulary = file_sha256(str(settings.tokenizer_file)), vocabulary_size(settings.tokenizer_file)
    dice = np.random.default_rng(1)
    made: list[Planned] = []
    for number in range(steps):
        values = [make_block(dice, settings, tokenizer, vocabulary).encode() for _ in range(blocks)]
        first = number * blocks
        fetched = [Fetched(Coordinate(BLOCKS, 0, first + at), 1, value) for at, value in enumerate(values)]
        digest = run_digest(block_digest(value) for value in values).hex()
        tokens = blocks * settings.tokenize.block_tokens
        step = Step(
            seq=number + 1,
            step=number,
            blocks=(Run(0, first, first + blocks - 1, blocks, digest),),
            tokens=tokens,
            tokens_before=number * tokens,
            next={0: first + blocks},
            time=0,
        )
        made.append((step, fetched))
    return made


def work(steps: Iterable[Planned]) -> Iterator[Work]:
    """What the only rank gets of these steps."""
    return (Work(step, block_digest(step.encode()), tuple(blocks)) for step, blocks in steps)


def fill(settings: Settings, steps: int) -> list[Planned]:
    """Write blocks for `steps` whole steps to `tokens.blocks` and plan them, as the job and the planner do.

    Returns the plan with its blocks. The topics must be there, and empty.
    """
    cluster = Cluster(settings)
    _write_blocks(settings, steps * settings.planner.step_blocks)
    log = PlanLog(cluster)
    ensure_origin(cluster, log, 0)
    planner = Planner(settings.planner.step_blocks, settings.planner.linger_s, Tail.after(log.last))  # type: ignore[arg-type]
    held: list[Fetched] = []
    made: list[Planned] = []
    for fetched in _in_turn(cluster):
        tokens = len(Block.decode(fetched.value, fetched.at).tokens)
        planner.add(Arrival(fetched.at.partition, fetched.at.offset, tokens, block_digest(fetched.value)), 0)
        held.append(fetched)
        if planner.room == 0:
            step = planner.close(0)
            log.append(step)
            made.append((step, sorted(held, key=lambda one: (one.at.partition, one.at.offset))))
            held = []
    return made


def _write_blocks(settings: Settings, count: int) -> None:
    producer, topic = transactional_producer(settings, "bench-blocks"), settings.topic(BLOCKS)
    tokenizer, vocabulary = file_sha256(str(settings.tokenizer_file)), vocabulary_size(settings.tokenizer_file)
    dice = np.random.default_rng(1)
    for first in range(0, count, 200):
        producer.begin_transaction()
        for number in range(first, min(first + 200, count)):
            producer.produce(topic, make_block(dice, settings, tokenizer, vocabulary).encode(), partition=number % 4)
        producer.commit_transaction(30)


def _in_turn(cluster: Cluster) -> Iterator[Fetched]:
    """All blocks, one of each partition in turn, as a planner that keeps up meets them."""
    ends = cluster.settled_ends(BLOCKS, 30)
    read = [
        [
            Fetched(coordinate(message), message.timestamp()[1], message.value() or b"")
            for message in cluster.read(BLOCKS, partition, 0, end)
        ]
        for partition, end in sorted(ends.items())
    ]
    return (fetched for row in zip(*read, strict=True) for fetched in row)


def open_run(settings: Settings, group: Group) -> tuple[TrainerRun, State]:
    """Begin the run on all ranks, with nobody who listens or asks for anything."""
    checkpoints = Checkpoints.of(settings)
    attempt = None
    if group.leads:
        checkpoints.history.mkdir(parents=True)
        attempt = begin(settings, checkpoints, Source("", {}), group.device, time.time)
    identity, first, state = resume(settings, group, checkpoints, group.from_leader(attempt))
    saver = Saver(checkpoints, identity, settings.tokenizer_file, time.time, first)
    schedule, watch = Schedule(0, time.monotonic), Stopwatch(time.monotonic)
    return TrainerRun(settings, group, saver, schedule, Listener(), Nobody(), watch, time.time), state  # type: ignore[arg-type]
