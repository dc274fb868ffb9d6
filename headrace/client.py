"""Publishing from a program: `with Publisher(settings) as publisher: publisher.publish("some text", source="chat")`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import orjson
from confluent_kafka import KafkaError, Message, Producer

from headrace.contract.documents import JSON, PLAIN, Label
from headrace.contract.errors import DependencyError, Rejected
from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import QUIET, Cluster, producer_config


class NotDelivered(DependencyError):
    """The broker did not confirm `missing` documents: some may be there, none is known to be."""

    def __init__(self, missing: int, delivered: int, reason: str) -> None:
        super().__init__(
            f"{missing} documents were not confirmed by the broker ({reason}), {delivered} were: "
            "bring the broker back and publish the rest again; what arrives twice is rejected as duplicate"
        )
        self.missing = missing
        self.delivered = delivered


class Publisher:
    """Writes documents to `text.raw`, each once and in order, however often the client has to send again.

    Leaving the `with` block waits until the broker holds every document, and raises NotDelivered if it does not.
    Making one raises DependencyError within `connect_s` when no broker answers or the topic is not there; a broker that
    goes away later is NotDelivered after `delivery_s`. `delivered` counts what the broker has confirmed so far.
    `more` are librdkafka settings. One thread only.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connect_s: float = 5.0,
        delivery_s: float = 30.0,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = settings
        self.topic = settings.topic(RAW)
        self.delivered = 0
        self._sent = 0
        self._failure: str | None = None
        cluster = Cluster(settings, timeout_s=connect_s)
        if RAW not in cluster.partitions([RAW]):
            raise DependencyError(
                f"topic {self.topic} does not exist at {cluster.brokers}: make it with `headrace topics create`"
            )
        own = {"message.timeout.ms": int(delivery_s * 1000), "on_delivery": self._on_delivery, **QUIET, **(more or {})}
        self._producer = Producer(producer_config(cluster.brokers, **own))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()

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
        fields = {"id": id, "time": time, "label": label, "meta": meta}
        said = {name: value for name, value in fields.items() if value is not None}
        headers = {"content-type": JSON if said else PLAIN, **({"source": source} if source else {})}
        try:
            value = orjson.dumps({"text": text, **said}) if said else text.encode()
        except (orjson.JSONEncodeError, UnicodeEncodeError) as problem:
            raise Rejected("invalid_utf8", f"cannot be written as UTF-8 JSON or text: {problem}") from None
        self.publish_raw(value, headers, key)

    def publish_raw(
        self, value: bytes, headers: Mapping[str, str | bytes] | None = None, key: str | bytes | None = None
    ) -> None:
        """Send bytes as they are. The headers that count are content-type, source, id and time; all are optional."""
        limit = self.settings.clean.max_document_bytes
        if len(value) > limit:
            raise Rejected("too_long", f"{len(value)} bytes, limit {limit} (clean.max_document_bytes)")
        while True:
            self._check()
            try:
                self._producer.produce(self.topic, value, key=key, headers=dict(headers or {}))
                break
            except BufferError:
                self._producer.poll(0.5)
        self._sent += 1
        self._producer.poll(0)

    def flush(self) -> None:
        """Block until every document sent so far is confirmed or given up; raises NotDelivered for the latter."""
        while self._producer.flush(0.5):  # in short turns, so that Ctrl-C is heard
            pass
        self._check()

    def _check(self) -> None:
        """Raise once a document was given up: after a gap, going on would hide it."""
        if self._failure is not None:
            self._producer.purge()
            self._producer.flush(1)
            raise NotDelivered(self._sent - self.delivered, self.delivered, self._failure)

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.delivered += 1
        elif self._failure is None:
            self._failure = str(error.str())
