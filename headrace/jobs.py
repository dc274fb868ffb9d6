"""The one supervisor of the two Flink jobs: a job that does not run is submitted again, from its newest state alone."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
from confluent_kafka import Consumer, KafkaException, TopicPartition

from headrace.contract import errors, topics
from headrace.contract.documents import RejectedHeaders, Stage
from headrace.contract.errors import ContractError, DependencyError, HeadraceError
from headrace.contract.record import Record
from headrace.contract.settings import CONFIG_VARIABLE, ROOT, Settings
from headrace.flink import FlinkRest, RunningJob, SavedState, newest_state, rest_of
from headrace.kafka import Cluster, consumer_config, coordinate

PINNED = "pinned.json"
NOT_INITIALIZED = "JobInitializationException"
"""What Flink throws, before a job runs at all, when it cannot read the state that it was given."""
_ERRORS: Mapping[int, type[HeadraceError]] = {
    kind.exit_code: kind for kind in (errors.SettingsError, DependencyError, ContractError)
}


@dataclass(frozen=True)
class Job:
    """What belongs to one job. Its name is that of its consumer group, its stage and its program too."""

    name: Stage
    input: str
    outputs: tuple[str, ...]

    def folder(self, settings: Settings) -> Path:
        """Where its state lies, and only its."""
        return settings.flink_state_dir / self.name


CLEAN = Job("clean", topics.RAW, (topics.CLEAN, topics.REJECTED))
TOKENIZE = Job("tokenize", topics.CLEAN, (topics.BLOCKS, topics.WINDOWS, topics.REJECTED))
JOBS = (CLEAN, TOKENIZE)


class Pinned(Record):
    """What the job's state speaks of: topics by id, and the plan that made the state."""

    cluster: str
    topics: dict[str, str]
    plan: str


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
    rest = FlinkRest(rest_of(settings))
    listed = rest.jobs()
    with ThreadPoolExecutor(len(JOBS)) as pool:
        return list(pool.map(lambda job: _ensure(settings, job, listed, accept_loss), JOBS))


def _ensure(settings: Settings, job: Job, listed: list[RunningJob], accept_loss: bool) -> Ensured:
    running = active(settings, job, listed)
    return Ensured(job.name, running.id, submitted=False) if running else start(settings, job, accept_loss)


def active(settings: Settings, job: Job, listed: list[RunningJob]) -> RunningJob | None:
    """The job as the cluster has it; raises ContractError if it is there twice."""
    found = [running for running in listed if running.name == settings.topic(job.name) and running.active]
    if len(found) > 1:
        ids = " and ".join(running.id for running in found)
        raise ContractError(
            f"job {job.name} is there twice, {ids}: cancel the one that was not started by `jobs ensure`"
        )
    return found[0] if found else None


def start(settings: Settings, job: Job, accept_loss: bool = False) -> Ensured:
    """Submit a job from its newest state; the first time from the beginning of its input.

    The job's program compares the pinned plan with the one that it compiles, before it submits anything.
    Raises ContractError, naming both sides, for another cluster, topic or plan than pinned; for outputs without state;
    for state that cannot be read or restored; for state older than the sinks' transactions, unless `accept_loss`.
    """
    cluster = Cluster(settings)
    state = newest_state(job.folder(settings))
    if state is None:
        check_untouched(cluster, job)
        pinned = _pin(cluster, job, settings, plan="")
    else:
        check_age(state, settings.kafka.transaction_timeout_ms / 1000, time.time(), accept_loss)
        pinned = _check_pinned(cluster, job, settings)
    commit_beginning(cluster, job)
    restore = ("--restore", str(state.path)) if state else ()
    expect = ("--expect", pinned.plan) if pinned.plan else ()
    try:
        answer = run(settings, job, *restore, *expect)
    except HeadraceError as error:
        if state is None or NOT_INITIALIZED not in str(error):
            raise
        raise ContractError(
            f"job {job.name} cannot go on from {state.path}, and nothing older is used: restore that state from a copy."
            f" Flink says: {error}"
        ) from None
    if not pinned.plan:
        _pin(cluster, job, settings, answer["plan"])
    return Ensured(job.name, answer["job_id"], submitted=True, from_state=state.path if state else None)


def _pin(cluster: Cluster, job: Job, settings: Settings, plan: str) -> Pinned:
    """Written before the first submission, so that there is no state without it; the plan is filled in after it."""
    pinned = Pinned(cluster=cluster.id(), topics=cluster.topic_ids([job.input, *job.outputs]), plan=plan)
    folder = job.folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{PINNED}.new"
    new.write_bytes(pinned.encode())
    new.replace(folder / PINNED)
    return pinned


def _check_pinned(cluster: Cluster, job: Job, settings: Settings) -> Pinned:
    path = job.folder(settings) / PINNED
    if not path.exists():
        raise ContractError(f"job {job.name} has state in {path.parent}, but no {PINNED}: restore the whole folder")
    pinned = Pinned.decode(path.read_bytes(), errors.Coordinate(str(path), 0, 0))
    cluster.check_pinned(pinned.cluster, pinned.topics, f"state of job {job.name} in {path.parent}")
    return pinned


def check_untouched(cluster: Cluster, job: Job) -> None:
    """Raise ContractError if the job has worked before: what it wrote would be written a second time."""
    name = job.name
    advice = f"restore the state of job {name} in its folder, or begin with empty topics"
    first = cluster.first_offsets(job.input)
    beyond = {p: at for p, at in cluster.committed(name, job.input).items() if at > first.get(p, 0)}
    if beyond:
        partition, offset = min(beyond.items())
        raise ContractError(
            f"job {name} has no state, but its group has read up to"
            f" {errors.Coordinate(job.input, partition, offset)}: {advice}"
        )
    for output in job.outputs:
        for message in cluster.read_all(output, cluster.first_offsets(output), cluster.end_offsets(output)):
            at = coordinate(message)
            if output != topics.REJECTED or RejectedHeaders.decode(message.headers(), at).stage == name:
                raise ContractError(f"job {name} has no state, but wrote {at}: {advice}")


def check_age(state: SavedState, limit_s: float, now: float, accept_loss: bool) -> None:
    """Raise ContractError if the broker may have aborted what the state holds as prepared."""
    if (age := now - state.time) > limit_s and not accept_loss:
        raise ContractError(
            f"state {state.path} is {age / 3600:.1f} hours old, transactions live {limit_s / 3600:.1f} hours"
            " (kafka.transaction_timeout_ms): the broker may have aborted records that this state counts as written,"
            " and Flink would only log that. Go on with `headrace jobs ensure --accept-loss`, then `headrace verify`"
        )


def commit_beginning(cluster: Cluster, job: Job) -> None:
    """Commit the first offset for every partition of the input that the job's group has never read."""
    positions = cluster.committed(job.name, job.input)
    real = cluster.settings.topic(job.input)
    missing = [
        TopicPartition(real, partition, offset)
        for partition, offset in cluster.first_offsets(job.input).items()
        if partition not in positions
    ]
    if not missing:
        return
    committer = Consumer(consumer_config(cluster.brokers, cluster.settings.topic(job.name)))
    try:
        committer.commit(offsets=missing, asynchronous=False)
    except KafkaException as error:
        raise DependencyError(f"group {job.name}: {error.args[0].str()}") from error
    finally:
        committer.close()


def run(settings: Settings, job: Job, *arguments: str) -> dict[str, str]:
    """What the job's own program answers. Raises the error that its exit code stands for, with what it said."""
    done = subprocess.run(
        [sys.executable, "-m", f"flink_jobs.{job.name}", *arguments],
        cwd=ROOT,
        env={**os.environ, **settings.environment(), CONFIG_VARIABLE: os.devnull, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        said = [line for line in lines if line.startswith("Caused by: ")] or lines[-5:]
        raise _ERRORS.get(done.returncode, HeadraceError)("\n".join([f"job {job.name} was not submitted:", *said]))
    answer: dict[str, str] = orjson.loads(done.stdout.strip().splitlines()[-1])
    return answer


def stop_all(settings: Settings, timeout_s: float = 60.0) -> dict[str, Path | None]:
    """Stop every job that runs, with a savepoint, and wait until it has ended; by job, where its savepoint lies.

    A job that cannot take one now is cancelled (None): it goes on from its last checkpoint, and nothing is lost.
    """
    rest = FlinkRest(rest_of(settings))
    listed = rest.jobs()
    running = {job: found for job in JOBS if (found := active(settings, job, listed))}
    with ThreadPoolExecutor(len(JOBS)) as pool:
        paths = pool.map(lambda job: _stop(settings, rest, job, running[job], timeout_s), running)
        return {job.name: path for job, path in zip(running, paths, strict=True)}


def _stop(settings: Settings, rest: FlinkRest, job: Job, running: RunningJob, timeout_s: float) -> Path | None:
    try:
        return Path(rest.stop(running.id, job.folder(settings) / "savepoints", timeout_s))
    except DependencyError:
        raise
    except HeadraceError:
        rest.cancel(running.id)
        return None


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the jobs' lock; raises DependencyError when another `jobs ensure` holds it."""
    path = settings.flink_state_dir / "jobs.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DependencyError(
                f"process {lock.read().strip() or 'unknown'} looks after the jobs already ({path}): `headrace status`"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
