"""What a run is asked to do from outside: by signals, and by operators through `train.control`.

Nothing here can change a weight: it decides when a run saves, ends, or waits.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from dataclasses import dataclass
from types import FrameType

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from headrace.contract.errors import DependencyError, RecordError
from headrace.contract.settings import Settings
from headrace.contract.topics import CONTROL
from headrace.contract.training import Command
from headrace.kafka import Cluster, brokers_of, checked, consumer_config, coordinate
from trainer.group import Group

log = logging.getLogger("headrace")

STOP, GO = "stop", "go"


class Signals:
    """Whether this process was told to end: by SIGTERM or SIGINT, or because its launcher (0: none) is gone."""

    def __init__(self, launcher: int) -> None:
        self.caught = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._catch)
        try:
            self.launcher = [os.pidfd_open(launcher)] if launcher else []
        except ProcessLookupError:
            raise DependencyError(f"process {launcher}, which launched this rank, is gone") from None

    def _catch(self, number: int, frame: FrameType | None) -> None:
        self.caught = True

    @property
    def end(self) -> bool:
        return self.caught or bool(select.select(self.launcher, [], [], 0)[0])


class Commands:
    """`train.control` as rank 0 reads it.

    `save` and `stop` say what was asked since this attempt began; `halted` that the last of stop and resume, from
    whenever, is stop: a run that was stopped stays so through restarts.
    """

    def __init__(self, settings: Settings) -> None:
        self.run = settings.trainer.run
        self.save = self.stop = self.halted = False
        cluster = Cluster(settings)
        ends = cluster.end_offsets(CONTROL)
        for message in cluster.read_all(CONTROL, end=ends):
            self._apply(message, new=False)
        self.consumer = Consumer(consumer_config(brokers_of(settings), settings.topic("trainer-control")), logger=log)
        self.consumer.assign([TopicPartition(settings.topic(CONTROL), 0, ends[0])])

    def poll(self) -> None:
        """Take what has come; does not wait."""
        try:
            messages = self.consumer.consume(100, timeout=0)
        except KafkaException as error:
            raise DependencyError(f"reading {CONTROL}: {error.args[0].str()}") from error
        for message in messages:
            self._apply(checked(message), new=True)

    def _apply(self, message: Message, new: bool) -> None:
        if message.value() is None:
            return
        try:
            command = Command.decode(message.value(), coordinate(message))
        except RecordError as error:  # one bad command must not keep a run from ever starting again
            log.warning("command cannot be read, it is left out", extra={"why": str(error)})
            return
        if command.run == self.run:
            self.save |= new and command.command == "checkpoint"
            if command.command in ("stop", "resume"):
                self.halted = command.command == "stop"
                self.stop = new and self.halted


@dataclass
class Control:
    """All that a rank is asked: signals on every rank, commands on rank 0, and what rank 0 told the others."""

    group: Group
    signals: Signals
    commands: Commands | None = None

    def look(self) -> None:
        """See what is new; a turn of the loop."""
        if self.commands:
            self.commands.poll()

    @property
    def save(self) -> bool:
        """A checkpoint was asked for since the last one."""
        return self.commands is not None and self.commands.save

    @property
    def stop(self) -> bool:
        """This rank was told to end."""
        return self.signals.end or (self.commands is not None and self.commands.stop)

    @property
    def stop_idle(self) -> bool:
        """This rank was told to end, or rank 0 has left."""
        return self.stop or self.group.told(STOP)

    def saved(self) -> None:
        """A checkpoint was made."""
        if self.commands:
            self.commands.save = False

    def close(self) -> None:
        """End the connection."""
        if self.commands:
            self.commands.consumer.close()

    def leave(self) -> None:
        """Rank 0 tells the others that it ends while no step is at hand."""
        if self.group.leads:
            self.group.tell(STOP)

    def may_go(self) -> bool:
        """Whether the run is not halted. Rank 0 knows, and tells the others."""
        if self.commands and not self.commands.halted:
            self.group.tell(GO)
        return self.group.told(GO)
