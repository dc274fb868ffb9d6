"""Stand-in A: a consumer of a group feeds a model; the group's position and the model's checkpoint know nothing of each
other.

It stands for what tutorials show, for `KafkaBatchIODataset` of tensorflow-io (its tutorial on online learning), and for
the `KafkaDataset` of Monolith, which takes the position in the data out of its checkpoints on purpose: a group, and the
client's own commits every five seconds. Its design: after a crash a consumer goes on about where its group was, and a
model that sees its signals over and over does not mind some more or fewer of them.

`--commit step` and `--commit checkpoint` are what the documentation of confluent-kafka advises those who do mind:
`enable.auto.commit=false`, and a synchronous commit once the work is done. Which work is done then, a step or a
checkpoint, it leaves to its reader.

    python -m tests.fault.comparison.auto_commit BROKERS TOPIC FOLDER [--commit auto|step|checkpoint]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from tests.fault.comparison.training import BATCH, CHECKPOINT_STEPS, Document, Trainer

AUTO, STEP, CHECKPOINT = "auto", "step", "checkpoint"
SESSION_MS = 10_000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("brokers")
    parser.add_argument("topic")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--commit", choices=(AUTO, STEP, CHECKPOINT), default=AUTO)
    given = parser.parse_args()
    trainer = Trainer(given.folder)
    consumer = Consumer(
        {
            "bootstrap.servers": given.brokers,
            "group.id": f"trainer of {given.topic}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": given.commit == AUTO,
            "session.timeout.ms": SESSION_MS,
        }
    )
    consumer.subscribe([given.topic])
    while not trainer.stopping:
        messages = [message for message in consumer.consume(BATCH, timeout=1) if message.error() is None]
        if not messages:
            continue
        trainer.train([document(message) for message in messages])
        if given.commit == STEP:
            commit(consumer)
        if trainer.step % CHECKPOINT_STEPS == 0:
            trainer.save()
            if given.commit == CHECKPOINT:
                commit(consumer)
    trainer.save()
    if given.commit == CHECKPOINT:
        commit(consumer)
    consumer.close()


def document(message: Message) -> Document:
    return Document(message.partition(), message.offset(), 0, message.value().decode())


def commit(consumer: Consumer) -> None:
    """The positions of all partitions, if one has moved; what the broker refuses ends the process."""
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        if error.args[0].code() != KafkaError._NO_OFFSET:
            raise


if __name__ == "__main__":
    main()
