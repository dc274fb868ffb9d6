"""How far the plan may lead the main run, so that a stopped trainer does not fix hours of plan ahead of it."""

from __future__ import annotations

from confluent_kafka import Consumer, Message, TopicPartition

from headrace.contract.topics import CHECKPOINTS, STEPS
from headrace.contract.training import MAIN_RUN, CheckpointAnnouncement, IdleReport, StepReport, decode_report
from headrace.kafka import Cluster, brokers_of, checked, consumer_config, coordinate

TAIL_RECORDS = 2_000
"""Reports read back at start. Older ones cannot matter: a living run reports its position every 10 s."""

Progress = StepReport | IdleReport | CheckpointAnnouncement


class Throttle:
    """A step may be planned while it leads the highest step that the main run reported by at most `ahead`."""

    def __init__(self, ahead: int) -> None:
        self.ahead = ahead
        self.reported = -1

    def observe(self, progress: Progress) -> None:
        """Take note of a report; other runs do not count, and an older report takes nothing back."""
        if progress.run == MAIN_RUN:
            self.reported = max(self.reported, last_step(progress))

    def allows(self, step: int) -> bool:
        return step <= self.reported + self.ahead


class Patience:
    """When to say that something lasts: `every_s` after it began, and again every `every_s`."""

    def __init__(self, every_s: float) -> None:
        self.every_s = every_s
        self.began: float | None = None
        self.said = 0.0

    def lasts(self, now: float) -> float | None:
        """It still lasts: since how many seconds, if that is to be said now. `now` is a clock that does not go back."""
        if self.began is None:
            self.began = self.said = now
        if now - self.said < self.every_s:
            return None
        self.said = now
        return now - self.began

    def over(self) -> None:
        """It is over."""
        self.began = None


def last_step(progress: Progress) -> int:
    """The last step that the run had applied: an idle report and a checkpoint name the next one."""
    return progress.step if isinstance(progress, StepReport) else progress.step - 1


class ReportReader:
    """Follows `train.steps` and `train.checkpoints`, from a little before their ends."""

    def __init__(self, cluster: Cluster) -> None:
        settings = cluster.settings
        self.steps = settings.topic(STEPS)
        self.consumer = Consumer(consumer_config(brokers_of(settings), settings.topic("planner-reports")))
        self.consumer.assign([part for name in (STEPS, CHECKPOINTS) for part in _near_the_end(cluster, name)])

    def read(self, timeout_s: float) -> list[Progress]:
        """What came; waits up to `timeout_s` for the first. Raises RecordError, DependencyError."""
        first = self.consumer.poll(timeout_s)
        if first is None:
            return []
        messages = [checked(message) for message in [first, *self.consumer.consume(1000, timeout=0)]]
        return [self._decode(message) for message in messages if not self._tells_nothing(message)]

    def close(self) -> None:
        self.consumer.close()

    def _tells_nothing(self, message: Message) -> bool:
        """A checkpoint's announcement is taken back when its weights are pruned."""
        return message.value() is None and message.topic() != self.steps

    def _decode(self, message: Message) -> Progress:
        at = coordinate(message)
        if at.topic == self.steps:
            return decode_report(message.value(), at)
        return CheckpointAnnouncement.decode(message.value(), at)


def _near_the_end(cluster: Cluster, name: str) -> list[TopicPartition]:
    first, end = cluster.first_offsets(name), cluster.end_offsets(name)
    topic = cluster.settings.topic(name)
    return [TopicPartition(topic, part, max(first[part], end[part] - TAIL_RECORDS)) for part in end]
