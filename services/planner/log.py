"""The log of the plan: one writer at a time, one transaction a record, dense from the first record on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from confluent_kafka import KafkaError, KafkaException

from headrace.contract.digests import file_sha256
from headrace.contract.errors import (
    ContractError,
    Coordinate,
    DependencyError,
    HeadraceError,
    SettingsError,
    another_tokenizer,
)
from headrace.contract.plan import Origin, PlanRecord, Step, decode_plan
from headrace.contract.settings import Settings
from headrace.contract.topics import PLAN, PLANNER_TRANSACTIONAL_ID
from headrace.kafka import Cluster, coordinate, transactional_producer

TIMEOUT_S = 30.0
TAIL_RECORDS = 100
FENCED = (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH)


class PlanWriteError(HeadraceError):
    """A record's fate is unclear, or another planner took over. Ends the process; a restart reads what is there."""


class PlanLog:
    """The only writer of `train.plan`.

    Opening it fences off every older planner and ends its open transaction, and only then reads where the plan ends:
    read in the other order, a record of the old planner could still come behind the end that was seen.
    `last` is the plan's last record, None while it is empty; `origin` the first.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.topic = cluster.settings.topic(PLAN)
        try:
            self.producer = transactional_producer(cluster.settings, PLANNER_TRANSACTIONAL_ID)
        except KafkaException as error:
            raise DependencyError(f"no transaction on {cluster.brokers}: {error.args[0].str()}") from error
        records = read_tail(cluster, TIMEOUT_S)
        self.last: PlanRecord | None = records[-1] if records else None
        self.origin = read_origin(cluster) if records else None

    def append(self, record: PlanRecord) -> None:
        """Write one record; when this returns it is committed. Raises PlanWriteError if that is not certain."""
        check_follows(self.last, record)
        try:
            self.producer.begin_transaction()
            self.producer.produce(self.topic, record.encode(), partition=0)
            self.producer.commit_transaction(TIMEOUT_S)
        except KafkaException as error:
            raise _explained(record, error.args[0]) from error
        self.last = record
        if isinstance(record, Origin):
            self.origin = record


def check_follows(last: PlanRecord | None, record: PlanRecord) -> None:
    """Raise ContractError unless `record` may stand right behind `last`: seq and step are dense."""
    seq = -1 if last is None else last.seq
    step = last.step if isinstance(last, Step) else -1
    if record.seq != seq + 1 or (isinstance(record, Step) and record.step != step + 1):
        raise ContractError(f"{PLAN}: {_name(record)} cannot follow seq {seq}, step {step}")


def _name(record: PlanRecord) -> str:
    return f"seq {record.seq}, step {record.step}" if isinstance(record, Step) else f"seq {record.seq}, origin"


def _explained(record: PlanRecord, error: KafkaError) -> PlanWriteError:
    if error.code() in FENCED:
        return PlanWriteError(
            f"another planner took over {PLAN} before {_name(record)}: this one was fenced off and wrote nothing;"
            " run one planner for each kafka.topic_prefix"
        )
    return PlanWriteError(f"{PLAN}: whether {_name(record)} was committed is unclear ({error.str()}): start again")


def read_tail(cluster: Cluster, timeout_s: float) -> list[PlanRecord]:
    """The last records of the plan, none if there are none; raises ContractError where one does not follow another."""
    first, end = cluster.first_offsets(PLAN)[0], cluster.settled_ends(PLAN, timeout_s)[0]
    back = TAIL_RECORDS
    while True:
        start = max(first, end - back)
        records = [record for _, record in read_plan(cluster, start, end)]
        if records or start == first:
            break
        back *= 10  # nothing but markers and aborted records so far
    for last, record in itertools.pairwise(records):
        check_follows(last, record)
    return records


def read_origin(cluster: Cluster) -> Origin:
    """The plan's first record; raises ContractError if the plan does not begin with one."""
    first, end = cluster.first_offsets(PLAN)[0], cluster.end_offsets(PLAN)[0]
    at, record = next(read_plan(cluster, first, end))
    if not isinstance(record, Origin):
        raise ContractError(f"{at}: the plan begins with {_name(record)}, not with its origin")
    return record


def read_plan(cluster: Cluster, start: int, end: int) -> Iterator[tuple[Coordinate, PlanRecord]]:
    """Records of the plan with start <= offset < end."""
    for message in cluster.read(PLAN, 0, start, end):
        yield coordinate(message), decode_plan(message.value(), coordinate(message))


def origin_of(cluster: Cluster, time_ms: int) -> Origin:
    """The origin that this deployment's plan begins with."""
    return Origin(
        cluster=cluster.id(), topics=cluster.topic_ids(), tokenizer=tokenizer_of(cluster.settings), time=time_ms
    )


def check_origin(cluster: Cluster, origin: Origin) -> None:
    """Raise ContractError, naming both sides, unless the plan speaks of this cluster, its topics and our tokenizer."""
    cluster.check_pinned(origin.cluster, origin.topics, "the plan")
    if (ours := tokenizer_of(cluster.settings)) != origin.tokenizer:
        raise another_tokenizer("the plan's blocks were", origin.tokenizer, ours)


def tokenizer_of(settings: Settings) -> str:
    """The hash by which blocks name their tokenizer."""
    try:
        return file_sha256(str(settings.tokenizer_file))
    except OSError as error:
        raise SettingsError(f"tokenizer.path: {settings.tokenizer_file} cannot be read: {error.strerror}") from error


def ensure_origin(cluster: Cluster, log: PlanLog, time_ms: int) -> Origin:
    """The plan's origin: written now if the plan is empty, else compared with what is here."""
    if log.origin is None:
        log.append(origin_of(cluster, time_ms))
    else:
        check_origin(cluster, log.origin)
    assert log.origin is not None
    return log.origin
