"""The notes that lie beside the state of a job, and what they forbid."""

from __future__ import annotations

from typing import ClassVar, Final

from headrace.audit.pins import read_origin
from headrace.contract.digests import file_sha256
from headrace.contract.errors import ContractError, SettingsError, another_tokenizer
from headrace.contract.settings import Settings
from headrace.jobs.job import PINNED, TOKENIZE, Job, Note, Pinned
from headrace.kafka import Cluster

COUNTED: Final = "counted.json"


class Begun(Note):
    """`begun.json`: an upgrade emptied the job; it begins without state at `positions`, whose outcomes were counted.

    The state of before lies in the folder `before`, made by plan `plan`. `time`: epoch seconds.
    """

    positions: dict[int, int]
    before: str
    plan: str
    time: float

    FILE: ClassVar = "begun.json"


class Replaced(Note):
    """`replaced.json`, in a folder that an upgrade set aside: its state fits as long as the group stands here."""

    positions: dict[int, int]
    time: float

    FILE: ClassVar = "replaced.json"


class Stopped(Note):
    """`stopped.json`: the job ended with this savepoint, so that all its transactions are committed."""

    state: str

    FILE: ClassVar = "stopped.json"


class Lost(Note):
    """`lost.json`: records that the job has read, and whose outcome is nowhere: the first of `count`."""

    records: tuple[str, ...]
    count: int
    time: float

    FILE: ClassVar = "lost.json"

    def __str__(self) -> str:
        more = f" and {self.count - len(self.records)} more" if self.count > len(self.records) else ""
        return f"{self.count} records have no outcome: {', '.join(self.records)}{more}"


def pin(cluster: Cluster, job: Job, settings: Settings, plan: str) -> Pinned:
    """Written before the first submission, so that there is no state without it; the plan is filled in after it."""
    pinned = pins(cluster, job, settings, plan)
    pinned.write(job.folder(settings) / PINNED)
    return pinned


def pins(cluster: Cluster, job: Job, settings: Settings, plan: str) -> Pinned:
    """What a job that starts now pins. Raises ContractError for another tokenizer than that of the plan's blocks."""
    topics = cluster.topic_ids([job.input, *job.outputs])
    if job != TOKENIZE:
        return Pinned(cluster=cluster.id(), topics=topics, plan=plan)
    origin = read_origin(cluster)
    tokenizer = tokenizer_of(settings)
    if origin is not None and origin.tokenizer != tokenizer:
        raise another_tokenizer("the plan's blocks were", origin.tokenizer, tokenizer)
    return Pinned(cluster=cluster.id(), topics=topics, plan=plan, tokenizer=tokenizer, shards=settings.tokenize.shards)


def check_pinned(cluster: Cluster, job: Job, settings: Settings) -> Pinned:
    """What the job's state pins; raises ContractError, naming both sides, if that is not what is here."""
    path = job.folder(settings) / PINNED
    pinned = Pinned.read(path)
    if pinned is None:
        raise ContractError(f"job {job.name} has state in {path.parent}, but no {PINNED}: restore the whole folder")
    cluster.check_pinned(pinned.cluster, pinned.topics, f"state of job {job.name} in {path.parent}")
    if job == TOKENIZE:
        _check_tokenizer(cluster, pinned, settings)
    return pinned


def _check_tokenizer(cluster: Cluster, pinned: Pinned, settings: Settings) -> None:
    origin = None if pinned.tokenizer else read_origin(cluster)
    before = pinned.tokenizer or (origin.tokenizer if origin else "")
    if before and before != (now := tokenizer_of(settings)):
        raise another_tokenizer("the state of job tokenize was", before, now)


def tokenizer_of(settings: Settings) -> str:
    """The hash by which blocks name their tokenizer."""
    try:
        return file_sha256(str(settings.tokenizer_file))
    except OSError as error:
        raise SettingsError(f"tokenizer.path: {settings.tokenizer_file} cannot be read: {error.strerror}") from error
