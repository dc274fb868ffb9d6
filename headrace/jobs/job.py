"""What belongs to one job, the notes that lie in its state folder, and the lock of whoever looks after both."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from headrace.contract import topics
from headrace.contract.documents import Stage
from headrace.contract.errors import ContractError, Coordinate, DependencyError
from headrace.contract.record import Record
from headrace.contract.settings import Settings
from headrace.flink import RunningJob

PINNED = "pinned.json"


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


class Note(Record):
    """A small file beside the state of a job, replaced in one move."""

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_bytes(self.encode())
        new.replace(path)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What the file says, None if there is none; raises RecordError."""
        return cls.decode(path.read_bytes(), Coordinate(str(path), 0, 0)) if path.exists() else None


class Pinned(Note):
    """What the job's state speaks of: topics by id, the plan that made it, and for tokenize its tokenizer and shards.

    Empty, and 0, where it is not said: before the first submission, by clean, and by versions that did not say it.
    """

    cluster: str
    topics: dict[str, str]
    plan: str
    tokenizer: str = ""
    shards: int = 0


def active(settings: Settings, job: Job, listed: list[RunningJob]) -> RunningJob | None:
    """The job as the cluster has it; raises ContractError if it is there twice."""
    found = [running for running in listed if running.name == settings.topic(job.name) and running.active]
    if len(found) > 1:
        ids = " and ".join(running.id for running in found)
        raise ContractError(
            f"job {job.name} is there twice, {ids}: cancel the one that was not started by `jobs ensure`"
        )
    return found[0] if found else None


@contextmanager
def alone(settings: Settings, timeout_s: float = 0.0) -> Iterator[None]:
    """Hold the jobs' lock, waiting up to `timeout_s` for it; raises DependencyError when another process holds it.

    It is held for one look at the jobs or for one upgrade, and goes with the process that holds it.
    """
    path = settings.flink_state_dir / "jobs.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    with path.open("a+") as lock:
        while not _locked(lock.fileno()):
            if time.monotonic() >= deadline:
                lock.seek(0)
                raise DependencyError(
                    f"process {lock.read().strip() or 'unknown'} looks after the jobs already ({path}):"
                    " `headrace status`"
                )
            time.sleep(0.05)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
