"""What a reader of the topics sees of a stack under test, and when."""

from __future__ import annotations

import json
import time
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition

from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, PLAN, STEPS
from headrace.kafka import Cluster, brokers_of, consumer_config


class Witness:
    """Reports of steps, the plan and blocks, as any reader sees them. Times are seconds of the monotonic clock."""

    def __init__(self, settings: Settings) -> None:
        cluster = Cluster(settings)
        self.names = {settings.topic(name): name for name in (BLOCKS, PLAN, STEPS)}
        self.consumer = Consumer(consumer_config(brokers_of(settings), "witness", log_level=2))
        self.consumer.assign(
            [TopicPartition(real, p, 0) for real, name in self.names.items() for p in cluster.first_offsets(name)]
        )
        self.blocks: list[float] = []
        self.planned = -1
        self.reports: list[tuple[float, dict[str, Any]]] = []
        self.first: dict[int, tuple[str, float]] = {}
        """By step, `fed` and loss as the main run reported them first."""
        self.differ: list[str] = []
        self.save_error = ""

    def look(self) -> None:
        """Take what has come; while the broker is away nothing does."""
        now = time.monotonic()
        for message in self.consumer.consume(500, timeout=0):
            if message.error() is None:
                self._see(now, self.names[str(message.topic())], message)

    def _see(self, now: float, name: str, message: Message) -> None:
        if name == BLOCKS:
            self.blocks.append(now)
            return
        record = json.loads(message.value() or b"{}")
        if name == PLAN:
            self.planned = max(self.planned, record.get("step", -1))
            return
        self.save_error = record["save_error"]
        if record["kind"] == "step" and record["run"] == "main":
            self.reports.append((now, record))
            said = record["fed"], record["loss"]
            if self.first.setdefault(record["step"], said) != said:
                self.differ.append(f"step {record['step']} was {self.first[record['step']]} and then {said}")

    @property
    def trained(self) -> int:
        """The highest step that was reported."""
        return max(self.first, default=-1)

    @property
    def attempt(self) -> str:
        """Which attempt reported last."""
        return self.reports[-1][1]["attempt"] if self.reports else ""

    def close(self) -> None:
        self.consumer.close()
