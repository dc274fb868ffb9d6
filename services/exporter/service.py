"""The exporter at work: count what is new in the topics, look at the broker, commit what was counted."""

from __future__ import annotations

import logging
import time
from threading import Event

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from headrace.contract import metrics
from headrace.contract.errors import DependencyError, RecordError
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings
from headrace.contract.topics import CLEAN, EXPORTER_GROUP, PLAN, WINDOWS
from headrace.kafka import FEW_AHEAD, Cluster, checked, consumer_config, coordinate
from headrace.observe import Pulse, Sample, register
from services.exporter.lag import look
from services.exporter.tally import COUNTED, Tallies, Tally

POLL_S = 0.5
LOOK_S = 5.0
PARTITIONS_S = 30.0
ANSWER_S = 5.0
LIMIT_S = 60.0
"""A loop that has not come round for so long hangs: one look waits for three answers at most."""
PLAN_TAIL = 100
AGED = {CLEAN: "clean", WINDOWS: "blocks"}

log = logging.getLogger("headrace.exporter")


class Reader:
    """Follows what is counted from where it was committed, and the plan from a little before its end."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        settings = cluster.settings
        self.names = {settings.topic(name): name for name in (*COUNTED, PLAN)}
        self.consumer = Consumer(
            consumer_config(cluster.brokers, settings.topic(EXPORTER_GROUP), on_commit=self._committed, **FEW_AHEAD)
        )
        self.tallies = Tallies({})
        self.committed: dict[tuple[str, int], int] = {}
        self.planned: dict[int, int] = {}
        end = cluster.end_offsets(PLAN)[0]
        begin = max(cluster.first_offsets(PLAN)[0], end - PLAN_TAIL)
        self.consumer.assign([TopicPartition(settings.topic(PLAN), 0, begin)])
        self.take_new_partitions()

    def take_new_partitions(self) -> None:
        """Begin to count partitions that are not counted yet: all of them at first."""
        there = self.cluster.partitions(COUNTED)
        new = [(name, p) for name in COUNTED for p in range(there.get(name, 0)) if (name, p) not in self.tallies.of]
        if not new:
            return
        commits = {name: self.cluster.commits(EXPORTER_GROUP, name) for name in there}
        first = {name: self.cluster.first_offsets(name) for name in there}
        starts = []
        for name, partition in new:
            tally = restored(commits[name].get(partition))
            tally.position = max(tally.position, first[name][partition])
            self.tallies.of[name, partition] = tally
            starts.append(TopicPartition(self.cluster.settings.topic(name), partition, tally.position))
        self.consumer.incremental_assign(starts)

    def read(self, most: int, timeout_s: float, now: float) -> dict[str, float]:
        """Take in what is new; the age in seconds of the oldest text that was handed over in it, by stage."""
        ages: dict[str, float] = {}
        for message in self.consumer.consume(most, timeout_s):
            name = self.names[str(checked(message).topic())]
            try:
                self.take(name, message)
            except RecordError as error:  # whoever must read it has said so, or will
                log.warning("not counted", extra={"why": str(error)})
            if (stage := AGED.get(name)) is not None:
                ages[stage] = max(ages.get(stage, 0.0), now - message.timestamp()[1] / 1000)
        return ages

    def take(self, name: str, message: Message) -> None:
        """One record; raises RecordError for one that cannot be read."""
        if name != PLAN:
            self.tallies.take(name, message)
        elif isinstance(record := decode_plan(message.value(), coordinate(message)), Step):
            self.planned = record.next

    def commit(self) -> None:
        """Ask the broker to keep positions and counts where they have changed. Waits for nothing: see `keep`."""
        topic = self.cluster.settings.topic
        changed = [
            TopicPartition(topic(name), partition, tally.position, metadata=tally.encode())
            for (name, partition), tally in self.tallies.of.items()
            if self.committed.get((name, partition)) != tally.position
        ]
        if changed:
            self.consumer.commit(offsets=changed, asynchronous=True)

    def keep(self, timeout_s: float) -> None:
        """Commit, and block until the broker has it or the time is over."""
        self.commit()
        deadline = time.monotonic() + timeout_s
        while any(self.committed.get(place) != tally.position for place, tally in self.tallies.of.items()):
            if time.monotonic() > deadline:
                log.warning("counts are not committed: the next exporter counts again from its last commit")
                return
            self.consumer.poll(0.1)  # calls `_committed`; a record that comes with it is left to the next exporter

    def _committed(self, error: KafkaError | None, parts: list[TopicPartition]) -> None:
        """What the consumer calls, inside `read`, when a commit is done."""
        if error is not None:
            log.warning("counts are not committed", extra={"why": error.str()})
            return
        self.committed |= {(self.names[part.topic], part.partition): part.offset for part in parts if not part.error}


def restored(said: TopicPartition | None) -> Tally:
    """The tally of a commit; an empty one from position 0 where there is none."""
    if said is None:
        return Tally(0)
    try:
        return Tally.decode(said.offset, said.metadata)
    except (ValueError, TypeError, IndexError) as error:
        log.warning("counts begin at 0", extra={"topic": said.topic, "partition": said.partition, "why": str(error)})
        return Tally(said.offset)


class Service:
    """All that the process holds; `run` blocks until `stopping` is set."""

    def __init__(self, settings: Settings, pulse: Pulse) -> None:
        self.pulse = pulse
        self.cluster = Cluster(settings, timeout_s=ANSWER_S)
        self.reader = Reader(self.cluster)
        self.age = register(metrics.TEXT_AGE)
        self.failures = register(metrics.EXPORTER_FAILURES)
        self.seen: list[Sample] = []
        log.info("ready", extra={"partitions": len(self.reader.tallies.of)})

    def samples(self) -> list[Sample]:
        """What it knows now."""
        return [*self.reader.tallies.samples(), *self.seen]

    def run(self, stopping: Event) -> None:
        """Count until told to stop. A broker that does not answer is waited for."""
        looked = since = float("-inf")
        while not stopping.is_set():
            self.pulse.beat()
            for stage, age in self.reader.read(1000, POLL_S, time.time()).items():
                self.age.labels(stage).set(age)
            if (now := time.monotonic()) - looked >= LOOK_S:
                looked = now
                self.look(partitions=now - since >= PARTITIONS_S)
                since = now if now - since >= PARTITIONS_S else since
        self.reader.keep(ANSWER_S)

    def look(self, partitions: bool) -> None:
        """Ask the broker; what it does not answer is not shown, but that no broker is there."""
        try:
            if partitions:
                self.reader.take_new_partitions()
            self.seen = look(self.cluster, self.reader.planned)
            self.reader.commit()
        except DependencyError as error:
            self.seen = [(metrics.KAFKA_BROKERS, (), 0.0)]
            self.failures.inc()
            log.warning("waiting", extra={"error": str(error)})

    def close(self) -> None:
        self.reader.consumer.close()
