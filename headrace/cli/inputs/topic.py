"""Another topic as an input: its committed records, as they are."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping

from confluent_kafka import Message

from headrace.cli.inputs.cut import Copied, Refused
from headrace.contract.bookmarks import TopicBookmark
from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings
from headrace.contract.topics import RAW_RECORD_BYTES
from headrace.kafka import Cluster, coordinate

OVERHEAD_BYTES = 1024
"""What a record takes beside its value, key and headers, generously."""


class TopicInput:
    """Committed records of `name`, oldest first, up to the end that `look` saw. `items`, `bookmarks`: as of a file.

    Value, key, headers and timestamp stay, and the order within a partition. A record that is too large for `text.raw`
    is Refused. A position whose records are gone by now is a RecordError.
    """

    def __init__(self, settings: Settings, brokers: str, name: str) -> None:
        kafka = settings.kafka.model_copy(update={"brokers": brokers or settings.kafka.brokers, "topic_prefix": ""})
        self.cluster = Cluster(settings.model_copy(update={"kafka": kafka}))
        self.name = name
        if name not in self.cluster.partitions([name]):
            raise DependencyError(f"topic {name} does not exist at {self.cluster.brokers}: name it with its prefix")
        self.cluster_id, self.topic_id = self.cluster.id(), self.cluster.topic_ids([name])[name]
        self.positions = self.cluster.first_offsets(name)
        self.counts = {partition: [0, 0] for partition in self.positions}
        self._end: Mapping[int, int] = {}
        self._start: Mapping[int, int] = {}

    def resume(self, known: TopicBookmark) -> bool:
        """Go on there, if the bookmark is of this very topic."""
        if (known.cluster, known.topic_id) != (self.cluster_id, self.topic_id):
            return False
        self.positions[known.partition] = known.position
        self.counts[known.partition] = [known.documents, known.refused]
        return True

    def look(self, timeout_s: float = 60.0) -> int:
        """Set the end to what is committed now, once every open transaction before it is decided; offsets up to it."""
        self._end = self.cluster.settled_ends(self.name, timeout_s)
        for partition in self._end:
            self.positions.setdefault(partition, 0)
            self.counts.setdefault(partition, [0, 0])
        self._start = dict(self.positions)
        return sum(end - self.positions[partition] for partition, end in self._end.items())

    def items(self) -> Iterator[Copied | Refused]:
        """The records before the end; each counts as taken when it was yielded."""
        parts = (
            self.cluster.read(self.name, partition, self.positions[partition], end)
            for partition, end in self._end.items()
        )
        for message in heapq.merge(*parts, key=lambda message: message.timestamp()[1]):
            at = coordinate(message)
            item = _item(message, str(at))
            self.positions[at.partition] = at.offset + 1
            self.counts[at.partition][isinstance(item, Refused)] += 1
            yield item
        self.positions.update(self._end)

    @property
    def documents(self) -> int:
        """Taken so far, by earlier runs as well."""
        return sum(found for found, _ in self.counts.values())

    def taken(self) -> int:
        """Offsets passed since `look`, for a progress bar."""
        return sum(self.positions[partition] - start for partition, start in self._start.items())

    def bookmarks(self, into: str) -> list[TopicBookmark]:
        """One for each partition: everything before it was taken."""
        return [
            TopicBookmark(
                into=into,
                cluster=self.cluster_id,
                topic_id=self.topic_id,
                topic=self.name,
                partition=partition,
                position=position,
                documents=self.counts[partition][0],
                refused=self.counts[partition][1],
            )
            for partition, position in self.positions.items()
        ]


def _item(message: Message, place: str) -> Copied | Refused:
    value, key, headers = message.value(), message.key(), message.headers() or []
    size = len(value or b"") + len(key or b"") + sum(len(name) + len(said or b"") for name, said in headers)
    if size > RAW_RECORD_BYTES - OVERHEAD_BYTES:
        return Refused(place, "too_long", f"{size} bytes, text.raw takes records of {RAW_RECORD_BYTES}")
    return Copied(place, value, headers, key, int(message.partition() or 0), message.timestamp()[1])
