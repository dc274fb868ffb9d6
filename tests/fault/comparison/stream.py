"""The stream of a stand-in: the texts of the fault harness, one or several in a message, at its pace."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterable

from confluent_kafka import KafkaError, Message, Producer

from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import brokers_of, producer_config
from tests.fault.comparison.oracle import Coordinate
from tests.fault.ledger import RATE, WORDS

POLL_S = 0.1


class Stream:
    """Publishes texts drawn from the seed, 1 to `most` in a message, and keeps what the broker has acknowledged."""

    def __init__(self, settings: Settings, seed: int, most: int) -> None:
        self.topic = settings.topic(RAW)
        self.random, self.most = random.Random(seed), most
        patient = {"message.timeout.ms": 600_000, "log_level": 2}
        self.producer = Producer(producer_config(brokers_of(settings), **patient))
        self.sent = 0
        self.acknowledged: set[Coordinate] = set()
        self.refused: list[str] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def publish(self, count: int) -> None:
        """Send so many more, and what else their last message holds."""
        end = self.sent + count
        while self.sent < end:
            texts = [self._text() for _ in range(self.random.randint(1, self.most))]
            value = json.dumps(texts) if self.most > 1 else texts[0]
            self.producer.produce(self.topic, value.encode(), on_delivery=self._delivered)
        self.producer.poll(0)

    def close(self, least: int) -> None:
        """Publish no more than `least` in all, and block until each has its report."""
        self.stopping.set()
        self.thread.join()
        self.publish(max(0, least - self.sent))
        assert self.producer.flush(120) == 0, "documents without a delivery report"
        assert not self.refused, self.refused
        assert len(self.acknowledged) == self.sent

    def ends(self) -> set[Coordinate]:
        """The last document of each partition."""
        return set({at[0]: at for at in sorted(self.acknowledged)}.values())

    def ahead(self, fed: Iterable[Coordinate]) -> int:
        """Messages behind the last one of each partition of which something was fed."""
        last = {partition: offset for partition, offset, _ in sorted(fed)}
        return sum(offset - last.get(partition, -1) for partition, offset, _ in self.ends())

    def _run(self) -> None:
        begun = time.monotonic()
        while not self.stopping.wait(POLL_S):
            self.publish(int((time.monotonic() - begun) * RATE) - self.sent)

    def _text(self) -> str:
        self.sent += 1
        words = self.random.choices(WORDS, k=self.random.choice((1, 8, 20, 60)))
        return f"Document {self.sent - 1} of the stream: {' '.join(words)}."

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.refused.append(error.str())
            return
        size = len(json.loads(message.value())) if self.most > 1 else 1
        self.acknowledged |= {(message.partition(), message.offset(), index) for index in range(size)}
