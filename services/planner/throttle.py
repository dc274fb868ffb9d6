"""How far the plan may lead the main run, so that a stopped trainer does not fix hours of plan ahead of it."""

from __future__ import annotations

from confluent_kafka import Consumer, Message, TopicPartition

from headrace.contract.topics import CHECKPOINTS, CONTROL, STEPS
from headrace.contract.training import (
    MAIN_RUN,
    CheckpointAnnouncement,
    Command,
    IdleReport,
    StepReport,
    decode_report,
)
from headrace.kafka import Cluster, brokers_of, checked, consumer_config, coordinate
from headrace.runs import all_told

TAIL_RECORDS = 2_000
"""Reports read back at start. Older ones cannot matter: a living run reports its position every 10 s."""

Progress = StepReport | IdleReport | CheckpointAnnouncement


class Throttle:
    """A step may be planned while it leads the highest step that the main run reported by at most `ahead`.

    What is planned stays planned: behind a run that was promoted the plan waits until that has come near its end.
    """

    def __init__(self, ahead: int, main: str = MAIN_RUN) -> None:
        self.ahead = ahead
        self.main = main
        self.highest: dict[str, int] = {}

    @property
    def reported(self) -> int:
        """The highest step that the main run reported; -1 before its first."""
        return self.highest.get(self.main, -1)

    def observe(self, news: Progress | Command) -> None:
        """Take note of a report, of which an older one takes nothing back, or of a run that was promoted."""
        if isinstance(news, Command):
            self.main = news.run if news.command == "promote" else self.main
        else:
            self.highest[news.run] = max(self.highest.get(news.run, -1), last_step(news))

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
    """Follows `train.steps` and `train.checkpoints` from a little before their ends, and `train.control`.

    `main`: the main run when it began to follow.
    """

    def __init__(self, cluster: Cluster) -> None:
        settings = cluster.settings
        self.steps, self.control = settings.topic(STEPS), settings.topic(CONTROL)
        ends = cluster.end_offsets(CONTROL)
        self.main = all_told(cluster, ends).main
        self.consumer = Consumer(consumer_config(brokers_of(settings), settings.topic("planner-reports")))
        reports = [part for name in (STEPS, CHECKPOINTS) for part in _near_the_end(cluster, name)]
        self.consumer.assign([*reports, *(TopicPartition(self.control, part, end) for part, end in ends.items())])

    def read(self, timeout_s: float) -> list[Progress | Command]:
        """What came; waits up to `timeout_s` for the first. Raises RecordError, DependencyError."""
        first = self.consumer.poll(timeout_s)
        if first is None:
            return []
        messages = [checked(message) for message in [first, *self.consumer.consume(1000, timeout=0)]]
        return [self._decode(message) for message in messages if not self._tells_nothing(message)]

    def close(self) -> None:
        self.consumer.close()

    def _tells_nothing(self, message: Message) -> bool:
        """A checkpoint's announcement is taken back when its weights are pruned; so may a command be."""
        return message.value() is None and message.topic() != self.steps

    def _decode(self, message: Message) -> Progress | Command:
        at = coordinate(message)
        if at.topic == self.control:
            return Command.decode(message.value(), at)
        if at.topic == self.steps:
            return decode_report(message.value(), at)
        return CheckpointAnnouncement.decode(message.value(), at)


def _near_the_end(cluster: Cluster, name: str) -> list[TopicPartition]:
    first, end = cluster.first_offsets(name), cluster.end_offsets(name)
    topic = cluster.settings.topic(name)
    return [TopicPartition(topic, part, max(first[part], end[part] - TAIL_RECORDS)) for part in end]
