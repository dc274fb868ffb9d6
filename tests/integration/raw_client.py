"""A Kafka client that knows nothing of ours: hostile documents, and transactions that it aborts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import Message, Producer

from tests.hostile import Hostile

CODECS = ("none", "gzip", "snappy", "lz4")
"""Of one producer each; the n-th writes to partition n."""
Raw = tuple[int, int]


def write(brokers: str, topic: str, documents: Sequence[Hostile]) -> dict[Raw, Hostile]:
    """Deal the documents out over the partitions, in order; where each one now stands. Blocks until all are written."""
    written: dict[Raw, Hostile] = {}
    producers = [_producer(brokers, codec) for codec in CODECS]
    for number, document in enumerate(documents):
        partition = number % len(CODECS) if document.partition is None else document.partition
        producers[partition].produce(
            topic,
            document.value,
            key=document.key,
            headers=list(document.headers),
            partition=partition,
            timestamp=document.time,
            on_delivery=partial(_note, written, document),
        )
        producers[partition].poll(0)
    assert [producer.flush(60) for producer in producers] == [0] * len(CODECS)
    assert len(written) == len(documents)
    return written


def abort(brokers: str, topics: Sequence[str], values: Callable[[int], bytes]) -> None:
    """Write three records to the first partition of each topic, and take them back."""
    producer = Producer({"bootstrap.servers": brokers, "transactional.id": f"stranger-{topics[0]}"})
    producer.init_transactions(30)
    producer.begin_transaction()
    for topic in topics:
        for number in range(3):
            producer.produce(topic, values(number), key=b"stranger", partition=0)
    assert producer.flush(30) == 0, "they stand in the logs"
    producer.abort_transaction(30)


def _producer(brokers: str, codec: str) -> Producer:
    return Producer({"bootstrap.servers": brokers, "message.max.bytes": 5_000_000, "compression.codec": codec})


def _note(written: dict[Raw, Hostile], document: Hostile, error: object, message: Message) -> None:
    assert error is None, f"{document.name}: {error}"
    written[int(message.partition() or 0), int(message.offset() or 0)] = document
