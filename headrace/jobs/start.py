"""The one supervisor of the two Flink jobs: a job that does not run is submitted again, from its newest state alone."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Consumer, KafkaException, TopicPartition

from headrace.contract.errors import ContractError, DependencyError, HeadraceError
from headrace.contract.settings import Settings
from headrace.flink import FlinkRest, RunningJob, SavedState, newest_state, rest_of
from headrace.jobs.aside import finish_setting_aside
from headrace.jobs.checks import (
    check_accepted,
    check_age,
    check_current,
    check_may_begin,
    check_shards,
    stopped_with,
    transactions_live_s,
)
from headrace.jobs.job import JOBS, Job, Pinned, active
from headrace.jobs.notes import Stopped, check_pinned, pin
from headrace.jobs.program import Program
from headrace.kafka import Cluster, consumer_config

NOT_INITIALIZED = "JobInitializationException"
"""What Flink throws, before a job runs at all, when it cannot read the state that it was given."""


@dataclass(frozen=True)
class Ensured:
    """What was done for one job: `from_state` is None for a first start and for a job that ran already."""

    job: str
    id: str
    submitted: bool
    from_state: Path | None = None


def ensure(settings: Settings, accept_loss: bool = False) -> list[Ensured]:
    """Submit each job that does not run; blocks until Flink has taken them, at most minutes.

    Raises ContractError when a job must not be started (see `start`), DependencyError when Flink or Kafka is not there.
    Callers hold `alone`.
    """
    listed = FlinkRest(rest_of(settings)).jobs()
    with Program(settings) as program, ThreadPoolExecutor(len(JOBS)) as pool:
        return list(pool.map(lambda job: _ensure(program, job, listed, accept_loss), JOBS))


def _ensure(program: Program, job: Job, listed: list[RunningJob], accept_loss: bool) -> Ensured:
    running = active(program.settings, job, listed)
    return Ensured(job.name, running.id, submitted=False) if running else start(program, job, accept_loss)


def start(program: Program, job: Job, accept_loss: bool = False) -> Ensured:
    """Submit a job from its newest state; the first time from the beginning of its input.

    The job's program compares the pinned plan with the one that it compiles, before it submits anything.
    Raises ContractError, naming both sides, for another cluster, topic, plan, tokenizer or number of shards than
    pinned; for outputs without state; for state that cannot be read or restored; for a loss that was found, and for
    state older than the sinks' transactions, unless `accept_loss`.
    """
    settings = program.settings
    cluster = Cluster(settings)
    finish_setting_aside(settings, job)
    state = newest_state(job.folder(settings))
    check_accepted(settings, job, accept_loss)
    if state is None:
        check_may_begin(cluster, job)
        pinned = pin(cluster, job, settings, plan="")
    else:
        check_age(state, transactions_live_s(settings), time.time(), accept_loss or stopped_with(settings, job, state))
        check_current(cluster, job)
        pinned = check_pinned(cluster, job, settings)
        check_shards(job, pinned, settings)
    commit_beginning(cluster, job)
    answer = submit(program, job, state, pinned)
    pin(cluster, job, settings, answer["plan"])
    return Ensured(job.name, answer["job_id"], submitted=True, from_state=state.path if state else None)


def submit(program: Program, job: Job, state: SavedState | None, pinned: Pinned) -> dict[str, str]:
    """Let the job's program submit it; raises ContractError when Flink cannot read the state."""
    try:
        return program.ask(job, restore=str(state.path) if state else "", expect=pinned.plan)
    except HeadraceError as error:
        if state is None or NOT_INITIALIZED not in str(error):
            raise
        raise ContractError(
            f"job {job.name} cannot go on from {state.path}, and nothing older is used: restore that state from a copy."
            f" Flink says: {error}"
        ) from None


def commit_beginning(cluster: Cluster, job: Job) -> None:
    """Commit the first offset for every partition of the input that the job's group has never read."""
    positions = cluster.committed(job.name, job.input)
    commit(cluster, job, {p: at for p, at in cluster.first_offsets(job.input).items() if p not in positions})


def commit(cluster: Cluster, job: Job, positions: Mapping[int, int]) -> None:
    """Set where the job's group stands in its input; no job may run."""
    if not positions:
        return
    real = cluster.settings.topic(job.input)
    committer = Consumer(consumer_config(cluster.brokers, cluster.settings.topic(job.name)))
    try:
        committer.commit(offsets=[TopicPartition(real, *place) for place in positions.items()], asynchronous=False)
    except KafkaException as error:
        raise DependencyError(f"group {job.name}: {error.args[0].str()}") from error
    finally:
        committer.close()


def stop_all(settings: Settings, timeout_s: float = 60.0) -> dict[str, Path | None]:
    """Stop every job that runs, with a savepoint, and wait until it has ended; by job, where its savepoint lies.

    A job that cannot take one now is cancelled (None): it goes on from its last checkpoint, and nothing is lost.
    """
    rest = FlinkRest(rest_of(settings))
    listed = rest.jobs()
    running = {job: found for job in JOBS if (found := active(settings, job, listed))}
    with ThreadPoolExecutor(len(JOBS)) as pool:
        paths = pool.map(lambda job: stop_or_cancel(settings, rest, job, running[job], timeout_s), running)
        return {job.name: path for job, path in zip(running, paths, strict=True)}


def stop_or_cancel(settings: Settings, rest: FlinkRest, job: Job, running: RunningJob, timeout_s: float) -> Path | None:
    """Stop one job with a savepoint, or without one (None) if it cannot take one now."""
    try:
        return stop(settings, rest, job, running, timeout_s)
    except DependencyError:
        raise
    except HeadraceError:
        rest.cancel(running.id)
        return None


def stop(settings: Settings, rest: FlinkRest, job: Job, running: RunningJob, timeout_s: float) -> Path:
    """Stop one job with a savepoint and wait until it has ended; raises HeadraceError, and it goes on, if it cannot."""
    folder = job.folder(settings)
    path = Path(rest.stop(running.id, folder / "savepoints", timeout_s))
    Stopped(state=str(path)).write(folder / Stopped.FILE)
    return path
