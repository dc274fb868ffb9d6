"""What a deployment has done so far, counted from nothing but its topics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from confluent_kafka import Consumer, Message, TopicPartition
from numpy.typing import NDArray

from headrace.contract.blocks import Block
from headrace.contract.documents import RejectedHeaders
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, CHECKPOINTS, CLEAN, PLAN, RAW, REJECTED, STEPS
from headrace.contract.training import CheckpointAnnouncement, StepReport, decode_report
from headrace.kafka import QUIET, Cluster, checked, consumer_config, coordinate

WATCHED = (RAW, CLEAN, REJECTED, BLOCKS, PLAN, STEPS, CHECKPOINTS)


@dataclass
class Seen:
    """Counts from the beginning of every topic. `steps`: the last report of each step of the run that is watched.

    rejected      documents by reason, of both stages; those of `tokenize` were accepted before
    packed        documents whose last token stands in a block
    frequencies   how often each token id stands in a block, i64 [highest id + 1]
    """

    run: str
    published: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    rejected_late: int = 0
    packed: int = 0
    blocks: int = 0
    frequencies: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    planned_steps: int = 0
    planned_blocks: int = 0
    steps: dict[int, StepReport] = field(default_factory=dict)
    checkpoint: CheckpointAnnouncement | None = None

    @property
    def decided(self) -> int:
        """Documents that the clean job accepted or rejected."""
        return self.accepted + self.rejected.total() - self.rejected_late

    @property
    def tokens(self) -> int:
        return int(self.frequencies.sum())

    @property
    def trained_tokens(self) -> int:
        return sum(report.tokens for report in self.steps.values())

    def all_trained(self, documents: int) -> bool:
        """Whether `documents` were published and each is rejected or trained, and nothing is on its way."""
        return (
            self.published == self.decided == documents
            and self.packed == self.accepted - self.rejected_late
            and self.planned_blocks == self.blocks
            and len(self.steps) == self.planned_steps
        )

    def saved(self) -> bool:
        """Whether a checkpoint of the run holds every step that was reported."""
        return self.checkpoint is not None and self.checkpoint.step > max(self.steps, default=-1)

    def take(self, topic: str, message: Message) -> None:
        """Count one record of a watched topic; raises RecordError for one that cannot be read."""
        at, value = coordinate(message), message.value()
        if topic == RAW:
            self.published += 1
        elif topic == CLEAN:
            self.accepted += 1
        elif topic == REJECTED:
            headers = RejectedHeaders.decode(message.headers(), at)
            self.rejected[headers.reason] += 1
            self.rejected_late += headers.stage == "tokenize"
        elif topic == BLOCKS:
            self._take_block(Block.decode(value, at))
        elif topic == PLAN:
            if isinstance(record := decode_plan(value, at), Step):
                self.planned_steps += 1
                self.planned_blocks += record.block_count
        elif topic == STEPS:
            report = decode_report(value, at)
            if isinstance(report, StepReport) and report.run == self.run:
                self.steps[report.step] = report
        elif value is not None:
            announced = CheckpointAnnouncement.decode(value, at)
            if announced.run == self.run and (self.checkpoint is None or announced.step >= self.checkpoint.step):
                self.checkpoint = announced

    def _take_block(self, block: Block) -> None:
        self.blocks += 1
        self.packed += int((block.doc_from + block.span_lengths() == block.doc_tokens).sum())
        size = max(len(self.frequencies), int(block.tokens.max()) + 1)
        self.frequencies = np.pad(self.frequencies, (0, size - len(self.frequencies)))
        self.frequencies += np.bincount(block.tokens, minlength=size)


class Watch:
    """Reads all topics from their beginning, without a group, and keeps `seen` up to date."""

    def __init__(self, settings: Settings) -> None:
        self.seen = Seen(settings.trainer.run)
        cluster = Cluster(settings)
        self._names = {settings.topic(name): name for name in WATCHED}
        self._reader = Consumer({**consumer_config(cluster.brokers), **QUIET})
        partitions = cluster.partitions(WATCHED)
        self._reader.assign(
            [TopicPartition(settings.topic(name), p, 0) for name, count in partitions.items() for p in range(count)]
        )

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *error: Any) -> None:
        self._reader.close()

    def poll(self, timeout_s: float) -> None:
        """Take in what has been written since; blocks for up to `timeout_s`."""
        for message in self._reader.consume(5000, timeout_s):
            self.seen.take(self._names[str(message.topic())], checked(message))
