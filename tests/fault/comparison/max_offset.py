"""Stand-in B: a loader whose position is in the checkpoint, as the greatest offset of each partition that batches held.

It stands for `KafkaReader` of TorchEasyRec: a message holds several rows, a batch carries the greatest offset per
source that is in it (`Batch.checkpoint_info`), the checkpoint keeps them beside the weights, and a resumed reader goes
to the one after. Its design: the signals of a recommender are many and alike, and which rows of the last message were
trained is not worth keeping. The same state is what one would write into the `state_dict` of an iterable dataset over
Kafka for the `StatefulDataLoader` of torchdata.

`--shuffle N` puts a buffer of N documents before the batches, as `shuffle` of tf.data and webdataset does and as the
DataLoader leaves to the dataset: a batch takes any of them, another one comes in its place.

    python -m tests.fault.comparison.max_offset BROKERS TOPIC FOLDER [--shuffle N]
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from tests.fault.comparison.training import BATCH, CHECKPOINT_STEPS, Document, Trainer

IDLE_S = 5
"""So long without a message, and a batch is trained that is not full."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("brokers")
    parser.add_argument("topic")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shuffle", type=int, default=0)
    given = parser.parse_args()
    trainer = Trainer(given.folder)
    documents = read(trainer, given.brokers, given.topic)
    if given.shuffle:
        documents = shuffled(documents, given.shuffle, random.Random(trainer.step))
    for batch in batches(documents):
        trainer.train(batch)
        for document in batch:
            trainer.position[document.partition] = max(trainer.position.get(document.partition, -1), document.offset)
        if trainer.step % CHECKPOINT_STEPS == 0:
            trainer.save()
    trainer.save()


def read(trainer: Trainer, brokers: str, topic: str) -> Iterator[Document | None]:
    """Every document of every message after `trainer.position`, until it stops; None when nothing comes.

    A message is an array of documents, or one document.
    """
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": "loader", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, each, trainer.position.get(each, -1) + 1) for each in partitions])
    while not trainer.stopping:
        message = consumer.poll(IDLE_S)
        if message is None or message.error() is not None:
            yield None
            continue
        for index, text in enumerate(texts(message.value())):
            yield Document(message.partition(), message.offset(), index, text)
    consumer.close()


def texts(value: bytes) -> list[str]:
    return json.loads(value) if value.startswith(b"[") else [value.decode()]


def shuffled(documents: Iterator[Document | None], size: int, drawn: random.Random) -> Iterator[Document | None]:
    """The same in another order, with up to `size` in memory; all of them when the stream ends."""
    buffer: list[Document] = []
    for document in documents:
        if document is None:
            yield None
            continue
        buffer.append(document)
        if len(buffer) > size:
            at = drawn.randrange(len(buffer))
            buffer[at], buffer[-1] = buffer[-1], buffer[at]
            yield buffer.pop()
    yield from buffer


def batches(documents: Iterator[Document | None]) -> Iterator[list[Document]]:
    """Full ones, wherever in a message that is; a shorter one when nothing more comes."""
    batch: list[Document] = []
    for document in documents:
        if document is not None:
            batch.append(document)
        if len(batch) == BATCH or (batch and document is None):
            yield batch
            batch = []
    if batch:
        yield batch


if __name__ == "__main__":
    main()
