"""Publishing from a program: `with Publisher(settings) as publisher: publisher.publish("some text", source="chat")`.

`AsyncPublisher` is the same for asyncio. Both hold a bounded number of bytes: whoever is faster than the broker waits,
and never meets an error for that.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import orjson
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from headrace.contract.documents import JSON, PLAIN, Label
from headrace.contract.errors import Coordinate, DependencyError, Rejected
from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import QUIET, Cluster, coordinate, producer_config

Headers = Mapping[str, str | bytes]
QUEUE = {"queue.buffering.max.kbytes": 65_536, "queue.buffering.max.messages": 100_000}
"""What a client may hold that the broker has not confirmed; librdkafka's own bound is 1 GiB."""
NAMED = 20
"""Undelivered documents that an error carries; the others it counts."""
FULL_S = 0.005
"""How long to wait for room in a full queue before asking again."""


@dataclass(frozen=True)
class Undelivered:
    """A document that the broker did not confirm."""

    value: bytes
    key: bytes | None
    reason: str


class NotDelivered(DependencyError):
    """The broker did not confirm `missing` documents, `documents` are the first of them. It may hold some anyway."""

    def __init__(self, missing: int, delivered: int, documents: tuple[Undelivered, ...]) -> None:
        reason = documents[0].reason if documents else "no answer"
        first = f", the first begins {documents[0].value[:60]!r}" if documents else ""
        super().__init__(
            f"{missing} documents were not confirmed by the broker ({reason}){first}; {delivered} were: "
            "bring the broker back and publish the rest again; what arrives twice is rejected as duplicate"
        )
        self.missing = missing
        self.delivered = delivered
        self.documents = documents


def encode(
    text: str,
    id: str | None = None,
    source: str | None = None,
    time: datetime | int | None = None,
    label: Label = None,
    meta: Mapping[str, Any] | None = None,
) -> tuple[bytes, dict[str, str | bytes]]:
    """Value and headers of a document: text/plain, which nobody parses, or JSON where there is more than text.

    Raises Rejected (invalid_utf8) for text that holds half a surrogate pair.
    """
    headers: dict[str, str | bytes] = {"content-type": PLAIN}
    if source:
        headers["source"] = source
    try:
        if id is None and time is None and label is None and meta is None:
            return text.encode(), headers
        fields = {"id": id, "time": time, "label": label, "meta": meta}
        said = {name: value for name, value in fields.items() if value is not None}
        return orjson.dumps({"text": text, **said}), {**headers, "content-type": JSON}
    except (orjson.JSONEncodeError, UnicodeEncodeError) as problem:
        raise Rejected("invalid_utf8", f"cannot be written as UTF-8 JSON or text: {problem}") from None


def connect(settings: Settings, connect_s: float, config: Mapping[str, Any]) -> Producer:
    """A producer, once a broker has answered and the topic is there; else DependencyError within `connect_s`."""
    cluster = Cluster(settings, timeout_s=connect_s)
    cluster.require([RAW])
    return Producer(producer_config(cluster.brokers, **{**QUEUE, **QUIET, **config}))


def check_size(value: bytes, limit: int) -> None:
    """Raise Rejected (too_long) for what the clean job could only reject."""
    if len(value) > limit:
        raise Rejected("too_long", f"{len(value)} bytes, limit {limit} (clean.max_document_bytes)")


class Publisher:
    """Writes documents to `text.raw`, each once and in order, however often the client has to send again.

    Leaving the `with` block waits until the broker holds every document, and raises NotDelivered if it does not.
    Making one raises DependencyError within `connect_s` when no broker answers or the topic is not there; a broker that
    goes away later is NotDelivered after `delivery_s`. `more` are librdkafka settings. One thread only.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connect_s: float = 5.0,
        delivery_s: float = 30.0,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.topic = settings.topic(RAW)
        self._limit = settings.clean.max_document_bytes
        self._sent = 0
        self._failed = 0
        self._named: list[Undelivered] = []
        # Successes are counted, not reported: a Python call for each document would cost a third of the speed.
        own = {"delivery.report.only.error": True, "on_delivery": self._on_failure}
        config = {"message.timeout.ms": int(delivery_s * 1000), **own, **(more or {})}
        self._producer = connect(settings, connect_s, config)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()

    @property
    def delivered(self) -> int:
        """How many documents the broker has confirmed so far."""
        return max(0, self._sent - self._failed - len(self._producer))

    def publish(
        self,
        text: str,
        *,
        id: str | None = None,
        source: str | None = None,
        time: datetime | int | None = None,
        label: Label = None,
        meta: Mapping[str, Any] | None = None,
        key: str | bytes | None = None,
    ) -> None:
        """Send one document; `time` is when it was written (epoch milliseconds, or UTC where it names no zone).

        Returns when the client has taken it, which blocks while its queue is full. Raises Rejected where the clean job
        could only reject it (too_long, invalid_utf8), and NotDelivered once the broker is given up.
        """
        value, headers = encode(text, id, source, time, label, meta)
        self.publish_raw(value, headers, key)

    def publish_raw(self, value: bytes, headers: Headers | None = None, key: str | bytes | None = None) -> None:
        """Send bytes as they are. The headers that count are content-type, source, id and time; all are optional."""
        check_size(value, self._limit)
        self._producer.poll(0)
        while True:
            if self._failed:
                self._give_up()
            try:
                self._producer.produce(self.topic, value, key=key, headers=headers)
                break
            except BufferError:
                self._producer.poll(FULL_S)
        self._sent += 1

    def flush(self) -> None:
        """Block until every document sent so far is confirmed or given up; raises NotDelivered for the latter."""
        while self._producer.flush(0.5):  # in short turns, so that Ctrl-C is heard
            pass
        if self._failed:
            self._give_up()

    def _give_up(self) -> None:
        """After a gap, going on would hide it."""
        delivered = self.delivered
        self._producer.purge()
        self._producer.flush(1)
        raise NotDelivered(self._sent - delivered, delivered, tuple(self._named))

    def _on_failure(self, error: KafkaError, message: Message) -> None:
        self._failed += 1
        if len(self._named) < NAMED:
            self._named.append(_undelivered(error, message))


class AsyncPublisher:
    """Publisher for asyncio: `async with AsyncPublisher(settings) as publisher: at = await publisher.publish("text")`.

    Awaiting means that the broker holds the document; where it stands there is its identity, and is returned. Publish
    several at once (gather, TaskGroup) for throughput: `in_flight` of them are on their way, the others wait. An error
    is raised where its document is awaited, and the others go on. For one event loop.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        in_flight: int = 10_000,
        connect_s: float = 5.0,
        delivery_s: float = 30.0,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.topic = settings.topic(RAW)
        self.delivered = 0
        self._connect_s = connect_s
        self._config = {"message.timeout.ms": int(delivery_s * 1000), **(more or {})}
        self._room = asyncio.Semaphore(in_flight)
        self._waiting: set[asyncio.Future[Message]] = set()
        self._reports: list[tuple[asyncio.Future[Message], KafkaError | None, Message]] = []
        self._closed = threading.Event()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._producer = await asyncio.to_thread(connect, self.settings, self._connect_s, self._config)
        self._thread = threading.Thread(target=self._serve, name="publisher", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._producer.purge()
        try:
            await self.flush()
        finally:
            self._closed.set()
            await asyncio.to_thread(self._thread.join)

    async def publish(
        self,
        text: str,
        *,
        id: str | None = None,
        source: str | None = None,
        time: datetime | int | None = None,
        label: Label = None,
        meta: Mapping[str, Any] | None = None,
        key: str | bytes | None = None,
    ) -> Coordinate:
        """Send one document and wait until the broker holds it; returns where.

        Raises Rejected where the clean job could only reject it, NotDelivered when the broker did not confirm it.
        """
        value, headers = encode(text, id, source, time, label, meta)
        return await self.publish_raw(value, headers, key)

    async def publish_raw(
        self, value: bytes, headers: Headers | None = None, key: str | bytes | None = None
    ) -> Coordinate:
        """Send bytes as they are and wait until the broker holds them; returns where."""
        check_size(value, self.settings.clean.max_document_bytes)
        async with self._room:
            confirmed: asyncio.Future[Message] = self._loop.create_future()
            await self._produce(value, headers, key, confirmed)
            self._waiting.add(confirmed)
            confirmed.add_done_callback(self._waiting.discard)
            try:
                message = await confirmed
            except KafkaException as failure:
                document = Undelivered(value, key.encode() if isinstance(key, str) else key, failure.args[0].str())
                raise NotDelivered(1, self.delivered, (document,)) from None
        return coordinate(message)

    async def flush(self) -> None:
        """Wait until every document sent so far is confirmed or given up; errors are raised where they are awaited."""
        while self._waiting:
            await asyncio.wait(set(self._waiting))

    async def _produce(
        self, value: bytes, headers: Headers | None, key: str | bytes | None, confirmed: asyncio.Future[Message]
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    self.topic, value, key=key, headers=headers, on_delivery=self._reporter(confirmed)
                )
                return
            except BufferError:
                await asyncio.sleep(FULL_S)

    def _reporter(self, confirmed: asyncio.Future[Message]) -> Callable[[KafkaError | None, Message], None]:
        return lambda error, message: self._reports.append((confirmed, error, message))

    def _serve(self) -> None:
        """The thread that hears the broker's answers; wakes the event loop once for many."""
        while not self._closed.is_set():
            self._producer.poll(0.1)
            if self._reports:
                reports, self._reports = self._reports, []
                self._loop.call_soon_threadsafe(self._settle, reports)

    def _settle(self, reports: list[tuple[asyncio.Future[Message], KafkaError | None, Message]]) -> None:
        for confirmed, error, message in reports:
            self.delivered += error is None
            if confirmed.done():  # whoever waited was cancelled
                continue
            if error is None:
                confirmed.set_result(message)
            else:
                confirmed.set_exception(KafkaException(error))


def _undelivered(error: KafkaError, message: Message) -> Undelivered:
    key = message.key()
    return Undelivered(bytes(message.value() or b""), bytes(key) if key is not None else None, str(error.str()))
