"""Plan and blocks out of Kafka, read forward by a thread while the loop computes; bounded in memory.

Ranks share no consumer group: each assigns and seeks once, keeps its own leaves' blocks and lets the others go.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, PLAN
from headrace.kafka import brokers_of, checked, consumer_config, coordinate
from trainer.assemble import Assembler, Work
from trainer.proof import Fetched

log = logging.getLogger("headrace")

TICK_S = 0.5
"""How long the loop waits for work before it looks after other things."""
FETCH_WAIT_MS = 100
"""A partition that is assigned or goes on joins the next fetch; one that finds nothing lasts this long."""
CONSUME_S = 0.05
"""What comes within this time is taken as one batch: the delay that a lone step may have."""
ANSWER_S = 15.0
"""How long a broker may take to say which partitions there are."""
STEPS_AHEAD = 8
"""Steps in memory that the loop has not taken yet."""
HIGH_BYTES, LOW_BYTES = 8 * 1024 * 1024, 2 * 1024 * 1024
"""A partition with more unclaimed bytes than this pauses, and goes on below the other."""


class Stream:
    """Iterate for the next Work, or None after TICK_S without one; raises what ended the reading. Never ends itself."""

    def __init__(self, settings: Settings, assembler: Assembler) -> None:
        self.plan, self.blocks = settings.topic(PLAN), settings.topic(BLOCKS)
        self.assembler = assembler
        self.timeout_s = settings.trainer.fetch_timeout_s
        wait = {"fetch.wait.max.ms": FETCH_WAIT_MS}
        self.consumer = Consumer(consumer_config(brokers_of(settings), settings.topic("trainer"), **wait), logger=log)
        self.partitions = self._count_partitions()
        self.assigned: dict[int, bool] = {}
        """By partition of blocks: whether it is paused."""
        self.taken: queue.Queue[Work] = queue.Queue(STEPS_AHEAD)
        self.stopping = threading.Event()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="stream")
        self.reading = self.thread.submit(self._read)

    def __iter__(self) -> Iterator[Work | None]:
        while True:
            try:
                yield self.taken.get(timeout=TICK_S)
            except queue.Empty:
                if self.reading.done():
                    self.reading.result()
                    return
                yield None

    def close(self) -> None:
        """End the thread and the connection."""
        self.stopping.set()
        self.thread.shutdown()
        self.consumer.close()

    def _read(self) -> None:
        """The thread: records in, steps out. Ends by `close`, or by the error that the loop then sees."""
        self._find_place()
        waits_since = time.monotonic()
        while not self.stopping.is_set():
            for message in self._consume(500):
                self._take(message)
            self._assign()
            self._pause()
            for work in self.assembler.ready():
                self._hand_over(work)
                waits_since = time.monotonic()
            if not self.assembler.steps:
                waits_since = time.monotonic()
            elif time.monotonic() - waits_since > self.timeout_s:
                raise DependencyError(f"{self.assembler.missing()} for {self.timeout_s:.0f} s: is the broker well?")

    def _count_partitions(self) -> int:
        """Partitions of blocks now. The client then knows their leaders too, and reads without looking them up."""
        try:
            topic = self.consumer.list_topics(self.blocks, timeout=ANSWER_S).topics[self.blocks]
        except KafkaException as error:
            raise DependencyError(f"reading {self.blocks}: {error.args[0].str()}") from error
        if topic.error is not None:
            raise DependencyError(f"topic {self.blocks}: {topic.error.str()}: make it with `headrace topics create`")
        return len(topic.partitions)

    def _find_place(self) -> None:
        """Read the plan's origin, then go to the record before the first one to train. Waits for a plan to begin."""
        before = self.assembler.position.seq - 1
        self.consumer.assign([TopicPartition(self.plan, 0, 0)])
        while not self.stopping.is_set():
            for origin in self._consume(1):
                self._take(origin)
                if before > 0:
                    # seq is dense and markers take offsets too: record `before` stands at that offset or later
                    self.consumer.assign([TopicPartition(self.plan, 0, before)])
                return

    def _consume(self, most: int) -> list[Message]:
        try:
            return [checked(message) for message in self.consumer.consume(most, timeout=CONSUME_S)]
        except KafkaException as error:
            raise DependencyError(f"reading {self.plan} and {self.blocks}: {error.args[0].str()}") from error

    def _take(self, message: Message) -> None:
        at = coordinate(message)
        if at.topic == self.plan:
            self.assembler.add_plan(at, message.value())
        else:
            self.assembler.add_block(Fetched(at, message.timestamp()[1], message.value() or b""))

    def _assign(self) -> None:
        """Begin to read partitions of blocks: all once the start is known, then new ones that the plan names."""
        starts = self.assembler.starts
        if starts is None:
            return
        known = {*range(self.partitions), *(run.partition for step, _ in self.assembler.steps for run in step.blocks)}
        new = known - self.assigned.keys()
        if new:
            self.consumer.incremental_assign(
                [TopicPartition(self.blocks, partition, starts.get(partition, 0)) for partition in sorted(new)]
            )
            self.assigned |= dict.fromkeys(new, False)

    def _pause(self) -> None:
        """Stop fetching partitions of which enough is here, go on with those of which little is left."""
        for partition, paused in self.assigned.items():
            waiting = self.assembler.waiting_bytes[partition]
            part = [TopicPartition(self.blocks, partition)]
            if not paused and waiting > HIGH_BYTES:
                self.consumer.pause(part)
                self.assigned[partition] = True
            elif paused and waiting < LOW_BYTES:
                self.consumer.resume(part)
                self.assigned[partition] = False

    def _hand_over(self, work: Work) -> None:
        """Block until the loop has room."""
        while not self.stopping.is_set():
            try:
                self.taken.put(work, timeout=TICK_S)
                return
            except queue.Full:
                continue
