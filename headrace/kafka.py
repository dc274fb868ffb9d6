"""How every process of ours talks to Kafka: read committed, never jump silently, fail fast when no broker is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from headrace.contract.errors import ContractError, Coordinate, DependencyError, RecordError
from headrace.contract.settings import Settings
from headrace.contract.topics import MIB, PINNED, RECORD_BYTES

LOCAL_BROKERS = "localhost:9092"
FETCH_BYTES = 2 * RECORD_BYTES
"""A fetch must hold the largest record with room to spare."""
TRANSIENT = (
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.FENCED_LEADER_EPOCH,
)
"""What a broker answers for a moment after a topic was made or after it started."""

FEW_AHEAD: Mapping[str, Any] = {
    "queued.max.messages.kbytes": 8192,
    "fetch.max.bytes": MIB,
    "max.partition.fetch.bytes": MIB // 4,
}
"""For readers whose memory should stay small: a fetch is many times as large when it is unpacked, and what a reader
held stays with the process when it is closed. A larger record comes alone."""

BATCH = 1_000  # records that a reader takes at once

T = TypeVar("T")
QUIET = {"log_level": 2}
"""For clients whose every failure becomes an exception: no line to standard error for each try to connect."""


def brokers_of(settings: Settings) -> str:
    """Bootstrap servers: the setting, else those of the running local stack, else localhost:9092."""
    running = settings.data_dir / "run" / "brokers"
    if settings.kafka.brokers:
        return settings.kafka.brokers
    return running.read_text().strip() if running.exists() else LOCAL_BROKERS


def client_config(brokers: str) -> dict[str, Any]:
    """What every client says."""
    return {"bootstrap.servers": brokers, "socket.timeout.ms": 10_000, "log.connection.close": False}


def consumer_config(brokers: str, group: str = "headrace-reader", **more: Any) -> dict[str, Any]:
    """A reader that assigns its partitions itself, sees committed records only and fails on an offset that is gone."""
    return {
        **client_config(brokers),
        "group.id": group,
        "isolation.level": "read_committed",
        "auto.offset.reset": "error",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "fetch.max.bytes": FETCH_BYTES,
        "max.partition.fetch.bytes": RECORD_BYTES,
        "queued.max.messages.kbytes": 32_768,
        **more,
    }


def producer_config(brokers: str, **more: Any) -> dict[str, Any]:
    """An idempotent writer that waits for all replicas."""
    return {
        **client_config(brokers),
        "enable.idempotence": True,
        # With more of them a broker that stood still may hold a record twice: seen, and librdkafka's issue 4953.
        "max.in.flight.requests.per.connection": 1,
        "acks": "all",
        "message.max.bytes": RECORD_BYTES,
        "compression.type": "zstd",
        "linger.ms": 5,
        **more,
    }


def coordinate(message: Message) -> Coordinate:
    """Where a message stands."""
    return Coordinate(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))


def checked(message: Message) -> Message:
    """The message; raises what its error means if it carries one."""
    if (error := message.error()) is None:
        return message
    if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
        raise RecordError(coordinate(message), f"is not there any more or not yet: {error.str()}")
    raise DependencyError(f"reading {message.topic()}: {error.str()}")


class Cluster:
    """A cluster as it is: topics, ids, offsets, records. A call blocks up to `timeout_s`, else DependencyError."""

    def __init__(self, settings: Settings, timeout_s: float = 15.0) -> None:
        self.settings = settings
        self.brokers = brokers_of(settings)
        self.timeout_s = timeout_s
        self.admin = AdminClient({**client_config(self.brokers), **QUIET})

    def id(self) -> str:
        """The cluster's id."""
        return str(self._one(self.admin.describe_cluster(request_timeout=self.timeout_s)).cluster_id)

    def wait(self, timeout_s: float) -> None:
        """Block until a broker answers."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self.admin.list_topics(timeout=1)
                return
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise DependencyError(
                        f"no broker answers at {self.brokers}: start one with `headrace up`"
                    ) from error

    def partitions(self, names: Sequence[str]) -> dict[str, int]:
        """Number of partitions of each topic that exists, by its name without prefix."""
        try:
            found = self.admin.list_topics(timeout=self.timeout_s).topics
        except KafkaException as error:
            raise DependencyError(f"no broker answers at {self.brokers}: {error.args[0].str()}") from error
        return {name: len(found[real].partitions) for name in names if (real := self.settings.topic(name)) in found}

    def require(self, names: Sequence[str]) -> dict[str, int]:
        """The same of topics that must be there; raises DependencyError naming one that is not."""
        there = self.partitions(names)
        for name in names:
            if name not in there:
                raise DependencyError(
                    f"topic {self.settings.topic(name)} does not exist: make it with `headrace topics create`"
                    f" (broker at {self.brokers})"
                )
        return there

    def topic_ids(self, names: Sequence[str] = PINNED) -> dict[str, str]:
        """Each topic's id, by its name without prefix; raises DependencyError for a topic that does not exist."""
        self.require(names)
        real = [self.settings.topic(name) for name in names]
        found = self.answers(self.admin.describe_topics(TopicCollection(real), request_timeout=self.timeout_s))
        return {name: str(found[topic].topic_id) for name, topic in zip(names, real, strict=True)}

    def first_offsets(self, name: str) -> dict[int, int]:
        """The first offset that is still there, by partition."""
        return self._offsets(name, OffsetSpec.earliest(), IsolationLevel.READ_COMMITTED)

    def offsets_since(self, name: str, time_ms: int) -> dict[int, int]:
        """The first record with a timestamp of at least `time_ms`; partitions that have none are absent."""
        found = self._offsets(name, OffsetSpec.for_timestamp(max(0, time_ms)), IsolationLevel.READ_COMMITTED)
        return {partition: offset for partition, offset in found.items() if offset >= 0}

    def delete_records(self, places: Sequence[TopicPartition]) -> None:
        """Delete what lies below the offset of each place; the broker frees a segment once all of it is deleted."""
        if places:
            self.answers(self.admin.delete_records(list(places), operation_timeout=self.timeout_s))

    def end_offsets(self, name: str, committed: bool = True) -> dict[int, int]:
        """Position after the last record by partition: the last stable offset, or with open transactions included."""
        level = IsolationLevel.READ_COMMITTED if committed else IsolationLevel.READ_UNCOMMITTED
        return self._offsets(name, OffsetSpec.latest(), level)

    def settled_ends(self, name: str, timeout_s: float) -> dict[int, int]:
        """End offsets as of now, open transactions included, once every transaction below them is decided.

        Blocks until the last stable offset of each partition has reached them; raises DependencyError naming the
        partition that is held back after `timeout_s`.
        """
        ends = self.end_offsets(name, committed=False)
        deadline = time.monotonic() + timeout_s
        while True:
            stable = self.end_offsets(name)
            open_at = {partition: stable[partition] for partition, end in ends.items() if stable[partition] < end}
            if not open_at:
                return ends
            if time.monotonic() > deadline:
                partition, offset = min(open_at.items())
                raise DependencyError(
                    f"{Coordinate(name, partition, offset)}: a transaction is open since more than {timeout_s:.0f} s;"
                    " its writer is down or slow: see `headrace status`"
                )
            time.sleep(0.1)

    def committed(self, group: str, name: str) -> dict[int, int]:
        """What a consumer group has committed, by partition; partitions without a commit are absent."""
        return {partition: said.offset for partition, said in self.commits(group, name).items()}

    def commits(self, group: str, name: str) -> dict[int, TopicPartition]:
        """The same with the metadata of each commit."""
        reader = Consumer(consumer_config(self.brokers, self.settings.topic(group)))
        try:
            wanted = [TopicPartition(self.settings.topic(name), p) for p in range(self.require([name])[name])]
            found: list[TopicPartition] = self._patiently(lambda: reader.committed(wanted, timeout=self.timeout_s))
            return {part.partition: part for part in found if part.offset >= 0}
        except KafkaException as error:
            raise DependencyError(f"group {group}: {error.args[0].str()}") from error
        finally:
            reader.close()

    def read(self, name: str, partition: int, start: int, end: int) -> Iterator[Message]:
        """All committed records of a partition with start <= offset < end, in order, in bounded memory.

        `end` must not lie above the last stable offset. Blocks while the broker is slow; raises RecordError when
        `start` is gone, DependencyError after `timeout_s` without an answer.
        """
        for batch in self.batches(name, partition, start, end):
            yield from batch

    def batches(self, name: str, partition: int, start: int, end: int) -> Iterator[list[Message]]:
        """`read`, up to BATCH records at a time: what is done once a batch costs a record little."""
        if start >= end:
            return
        # Behind the last record there may be markers alone: only an end of partition says so, and it should come soon.
        soon: dict[str, Any] = {"enable.partition.eof": True, "fetch.wait.max.ms": 10}
        reader = Consumer(consumer_config(self.brokers, **soon, **FEW_AHEAD))
        try:
            reader.assign([TopicPartition(self.settings.topic(name), partition, start)])
            quiet_since = time.monotonic()
            while True:
                taken = reader.consume(BATCH, timeout=0.05)
                batch = [message for message in taken if message.error() is None and message.offset() < end]
                yield batch
                if len(batch) < len(taken):  # the partition ends, or something went wrong
                    for message in taken:
                        if (error := message.error()) and error.code() != KafkaError._PARTITION_EOF:
                            checked(message)
                    return
                if batch and batch[-1].offset() == end - 1:
                    return
                if batch:
                    quiet_since = time.monotonic()  # how long we were away says nothing about the broker
                elif time.monotonic() - quiet_since > self.timeout_s:
                    raise DependencyError(f"{name}[{partition}]: no answer for {self.timeout_s:.0f} s")
        finally:
            reader.close()

    def read_all(
        self, name: str, start: Mapping[int, int] | None = None, end: Mapping[int, int] | None = None
    ) -> Iterator[Message]:
        """`read` over every partition of `end`, one after the other; partitions absent from `start` begin at 0.

        Without `start` from the first record that is there, without `end` up to the last one that is committed now.
        """
        start = self.first_offsets(name) if start is None else start
        end = self.end_offsets(name) if end is None else end
        for partition, last in sorted(end.items()):
            yield from self.read(name, partition, start.get(partition, 0), last)

    def check_pinned(self, cluster: str, topics: Mapping[str, str], whose: str) -> None:
        """Compare ids that `whose` (plan, manifest, state directory) pinned; raises ContractError naming both sides."""
        if (now := self.id()) != cluster:
            raise ContractError(
                f"{whose} belongs to cluster {cluster}, this is {now}: point kafka.brokers at the right one"
            )
        ids = self.topic_ids(list(topics))
        for name, pinned in topics.items():
            if ids[name] != pinned:
                raise ContractError(
                    f"{whose} pins topic {name} with id {pinned}, on this broker it has {ids[name]}: it was deleted and"
                    " made again, or this is a mirror; its offsets mean other records now"
                )

    def _offsets(self, name: str, spec: OffsetSpec, level: IsolationLevel) -> dict[int, int]:
        wanted = {TopicPartition(self.settings.topic(name), p): spec for p in range(self.require([name])[name])}

        def ask() -> dict[int, int]:
            futures = self.admin.list_offsets(wanted, isolation_level=level, request_timeout=self.timeout_s)
            return {part.partition: int(future.result().offset) for part, future in futures.items()}

        try:
            return self._patiently(ask)
        except KafkaException as error:
            raise DependencyError(f"broker at {self.brokers}: {error.args[0].str()}") from error

    def _patiently(self, call: Callable[[], T]) -> T:
        """What `call` returns, called again while the broker says that it is not ready yet."""
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                return call()
            except KafkaException as error:
                if error.args[0].code() not in TRANSIENT or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def answers(self, futures: Mapping[Any, Any]) -> dict[Any, Any]:
        """What the broker answers to each question of the admin client; blocks, raises DependencyError."""
        return {key: self._one(future) for key, future in futures.items()}

    def _one(self, future: Any) -> Any:
        try:
            return future.result(timeout=2 * self.timeout_s)
        except KafkaException as error:
            raise DependencyError(f"broker at {self.brokers}: {error.args[0].str()}") from error


def transactional_producer(settings: Settings, transactional_id: str) -> Producer:
    """A producer that owns `transactional_id`: fences any older owner and aborts its open transaction. Blocks."""
    producer = Producer(producer_config(brokers_of(settings), **{"transactional.id": settings.topic(transactional_id)}))
    producer.init_transactions(30)
    return producer
