"""A publisher that writes down what the broker has acknowledged: whatever is lost later, it has been said."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import xxhash
from confluent_kafka import KafkaError, Message, Producer

from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import brokers_of, producer_config

RATE = 6.0
"""Documents a second while faults happen."""
TURN_S = 0.05
WORDS = ("river", "mill", "wheel", "stone", "flour", "grain", "water", "channel", "gate", "weir", "bread", "dam")


class Ledger:
    """Publishes documents, each with a number of its own, and writes down every delivery report. One in ten is to be
    rejected: it is empty, no JSON, or the one before once more.

    One line a document that the broker has acknowledged: partition, offset, xxh3-128 of its value.
    """

    def __init__(self, settings: Settings, path: Path, seed: int) -> None:
        self.topic = settings.topic(RAW)
        self.random = random.Random(seed)
        self.file = path.open("a")
        patient = {"message.timeout.ms": 600_000, "log_level": 2}
        self.producer = Producer(producer_config(brokers_of(settings), **patient))
        self.sent = self.acknowledged = 0
        self.value = b""
        self.refused: list[str] = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name="ledger")

    def publish(self, count: int) -> None:
        """Send so many more; what has become of them, `close` says."""
        for _ in range(count):
            self.value = self._next()
            self.producer.produce(self.topic, self.value, on_delivery=self._delivered)
            self.sent += 1
        self.producer.poll(0)

    def close(self, least: int) -> None:
        """Publish no more than `least` in all, and block until each has its report."""
        self.stopping.set()
        self.thread.join()
        self.publish(max(0, least - self.sent))
        left = self.producer.flush(120)
        self.file.close()
        assert not left, f"{left} documents without a delivery report"
        assert not self.refused, self.refused

    def _run(self) -> None:
        begun, first = time.monotonic(), self.sent
        while not self.stopping.wait(TURN_S):
            self.publish(int((time.monotonic() - begun) * RATE) + first - self.sent)

    def _next(self) -> bytes:
        if self.random.random() < 0.1:
            return self.random.choice((b"", b'{"text": ', self.value, self.value))
        words = self.random.choices(WORDS, k=self.random.choice((1, 8, 20, 60)))
        return f"Document {self.sent} of the stream: {' '.join(words)}.".encode()

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.refused.append(error.str())
            return
        digest = xxhash.xxh3_128_hexdigest(message.value() or b"")
        self.file.write(f"{message.partition()} {message.offset()} {digest}\n")
        self.acknowledged += 1
