"""What a rank says of itself: metrics on every rank; `train.steps` and `train.checkpoints` from rank 0."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from headrace.checkpoints import Checkpoint
from headrace.contract import metrics
from headrace.contract.errors import DependencyError
from headrace.contract.events import FIRST_STEP
from headrace.contract.metrics import Metric
from headrace.contract.settings import Settings
from headrace.contract.topics import CHECKPOINTS, STEPS
from headrace.contract.training import CheckpointAnnouncement, IdleReport, StepReport, announcement_key
from headrace.kafka import Cluster, brokers_of, producer_config
from headrace.observe import register
from trainer.board import Board
from trainer.identity import Identity
from trainer.saver import Failed, Saved
from trainer.scalars import Scalars
from trainer.state import State

log = logging.getLogger("headrace")

IDLE_S = 10.0
FLUSH_S = 10.0


class Stopwatch:
    """Seconds by part of a turn, and word of the part at hand on the board. `clock` is monotonic.

    A part that comes twice adds up; what passes before the first one is of no part.
    """

    def __init__(self, clock: Callable[[], float], board: Board | None = None, rank: int = 0) -> None:
        self.clock = clock
        self.board = board
        self.rank = rank
        self.part = ""
        self.step = -1
        self.last = clock()
        self.parts: dict[str, float] = {}

    def enter(self, part: str, step: int | None = None) -> None:
        """A part begins, and with it a step if one is given; the part before it ends."""
        self._count()
        self.part, self.step = part, self.step if step is None else step
        if self.board is not None:
            self.board.write(self.rank, self.step, part)

    def take(self) -> dict[str, float]:
        """The parts so far, and begin anew in the part at hand."""
        self._count()
        parts, self.parts = self.parts, {}
        return parts

    def _count(self) -> None:
        now = self.clock()
        if self.part:
            self.parts[self.part] = self.parts.get(self.part, 0.0) + now - self.last
        self.last = now


class Metrics:
    """The vital numbers of one rank, by the names of `headrace.contract.metrics`. Make one a process.

    What is not known yet is not shown: a loss of 0 before the first step would be a lie.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self.known: dict[Metric, Any] = {}
        self.steps = register(metrics.TRAINER_STEPS).labels(run)
        self.tokens = register(metrics.TRAINER_TOKENS).labels(run)
        self.skipped = register(metrics.TRAINER_SKIPPED).labels(run)
        self.failures = register(metrics.CHECKPOINT_FAILURES).labels(run)
        self.seconds = register(metrics.TRAINER_SECONDS)
        self.parts: dict[str, Any] = {}

    def show(self, metric: Metric, value: float) -> None:
        """Set a gauge."""
        if metric not in self.known:
            self.known[metric] = register(metric).labels(self.run)
        self.known[metric].set(value)

    def step(self, report: StepReport) -> None:
        """One step was applied."""
        self.show(metrics.TRAINER_STEP, report.step)
        self.show(metrics.TRAINER_LOSS, report.loss)
        self.show(metrics.TRAINER_NORM, report.grad_norm)
        self.show(metrics.TRAINER_RATE, report.learning_rate)
        self.show(metrics.TRAINER_AGE, report.age_s)
        self.show(metrics.TRAINER_RANKS, report.ranks)
        self.steps.inc()
        self.tokens.inc(report.tokens)
        self.skipped.inc(report.skipped)
        for part, seconds in report.seconds.items():
            if part not in self.parts:
                self.parts[part] = self.seconds.labels(self.run, part)
            self.parts[part].inc(seconds)

    def saved(self, checkpoint: Checkpoint, seconds: float | None = None) -> None:
        """A checkpoint is there; it was written now where it took seconds."""
        self.show(metrics.CHECKPOINT_TIME, checkpoint.manifest.time / 1000)
        self.show(metrics.CHECKPOINT_BYTES, checkpoint.bytes)
        if seconds is not None:
            self.show(metrics.CHECKPOINT_SECONDS, seconds)


class Reporter:
    """Publishes what one attempt does; on ranks other than 0 `producer` is None and only metrics change.

    Reports are sent as the loop goes on and are certain only after `flush`, which any thread may call; a checkpoint
    flushes them first, so that what a checkpoint covers was reported. `clock` gives epoch seconds.
    """

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        metrics: Metrics,
        producer: Producer | None,
        clock: Callable[[], float],
        scalars: Scalars | None = None,
    ) -> None:
        self.steps, self.checkpoints = settings.topic(STEPS), settings.topic(CHECKPOINTS)
        self.identity = identity
        self.metrics = metrics
        self.producer = producer
        self.clock = clock
        self.scalars = scalars
        self.begun = False
        self.idle_at = 0.0
        self.lost: KafkaError | None = None

    def step(self, report: StepReport) -> None:
        """One step was applied."""
        if self.producer is not None and not self.begun:
            log.info(FIRST_STEP, extra={"step": report.step})
        self.begun = True
        self.metrics.step(report)
        if self.scalars is not None:
            self.scalars.step(report)
        self._send(self.steps, report.run, report.encode())
        self.idle_at = self.clock() + IDLE_S

    def idle(self, state: State, save_error: str = "") -> None:
        """Nothing is to do: say so every IDLE_S seconds."""
        if (now := self.clock()) < self.idle_at:
            return
        self.idle_at = now + IDLE_S
        report = IdleReport(
            run=self.identity.run,
            attempt=self.identity.attempt,
            seq=state.seq,
            step=state.step,
            fed=state.fed.hex(),
            time=int(now * 1000),
            save_error=save_error,
        )
        self._send(self.steps, report.run, report.encode())

    def saved(self, outcome: Saved | Failed) -> None:
        """A checkpoint was written, and others went for it; or it could not be."""
        if isinstance(outcome, Failed):
            self.metrics.failures.inc()
        else:
            self.announce(outcome.checkpoint, outcome.seconds)
            self.retract(outcome.pruned)

    def retract(self, steps: Iterable[int]) -> None:
        """Checkpoints of these steps have no weights any more."""
        for step in steps:
            self._send(self.checkpoints, announcement_key(self.identity.run, step), None)

    def announce(self, checkpoint: Checkpoint, seconds: float | None = None) -> None:
        """A checkpoint is there (again); it was written now where it took seconds."""
        manifest = checkpoint.manifest
        self.metrics.saved(checkpoint, seconds)
        announcement = CheckpointAnnouncement(
            run=manifest.run,
            attempt=manifest.attempt,
            seq=manifest.seq,
            step=manifest.step,
            path=str(checkpoint.path),
            bytes=checkpoint.bytes,
            time=manifest.time,
        )
        self._send(self.checkpoints, announcement.key, announcement.encode())

    def flush(self) -> None:
        """Block until the broker holds all reports; raises DependencyError if it does not after FLUSH_S."""
        if self.producer is not None and self.producer.flush(FLUSH_S):
            raise DependencyError(f"the broker did not take reports for {FLUSH_S:.0f} s: is it up?")
        self._check()

    def close(self) -> None:
        """`flush`, and no further report comes."""
        if self.scalars is not None:
            self.scalars.close()
        self.flush()

    def _send(self, topic: str, key: str, value: bytes | None) -> None:
        if self.producer is None:
            return
        self.producer.produce(topic, value, key, on_delivery=self._delivered)
        self.producer.poll(0)
        self._check()

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        self.lost = self.lost or error

    def _check(self) -> None:
        if self.lost is not None:
            raise DependencyError(f"a report was not delivered: {self.lost.str()}")


def announced(cluster: Cluster, run: str) -> set[int]:
    """Steps of a run's checkpoints that `train.checkpoints` says are there."""
    told: dict[bytes, bool] = {}
    for message in cluster.read_all(CHECKPOINTS):
        told[message.key() or b""] = message.value() is not None
    before = f"{run}/".encode()
    return {int(key[len(before) :]) for key, there in told.items() if there and key.startswith(before)}


def make_producer(settings: Settings, **more: Any) -> Producer:
    """The producer of rank 0."""
    return Producer(producer_config(brokers_of(settings), **more), logger=log)
