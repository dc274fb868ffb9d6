"""Where the checks get their records from: the logs up to the cut, in order, a partition at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from headrace.audit.cut import Cut
from headrace.kafka import Cluster


class Message(Protocol):
    """What the checks ask of a record; confluent_kafka.Message has it."""

    def offset(self) -> int: ...

    def value(self) -> bytes | None: ...

    def headers(self) -> list[tuple[str, bytes | None]] | None: ...


class Logs(Protocol):
    """Committed records up to a cut."""

    @property
    def cut(self) -> Cut: ...

    def read(self, name: str, partition: int) -> Iterator[Message]:
        """All records of a partition, from where the cut begins to where it ends."""
        ...

    def again(self, name: str, partition: int, first: int, last: int) -> Iterator[Message]:
        """Those with first <= offset <= last that are still there; none of a partition that is not. Not progress."""
        ...


class KafkaLogs:
    """Logs of a broker. `advance` is told how many offsets were passed, every so often."""

    def __init__(self, cluster: Cluster, cut: Cut, advance: Callable[[int], None]) -> None:
        self.cluster = cluster
        self.cut = cut
        self.advance = advance
        self.records = 0

    def read(self, name: str, partition: int) -> Iterator[Message]:
        first, end = self.cut.begin(name, partition), self.cut.end[name][partition]
        seen = 0
        for batch in self.cluster.batches(name, partition, first, end):
            yield from batch
            seen += len(batch)
            self.advance(len(batch))
        self.records += seen
        self.advance(max(0, end - first - seen))

    def again(self, name: str, partition: int, first: int, last: int) -> Iterator[Message]:
        there = max(first, self.cut.first[name].get(partition, 0))
        yield from self.cluster.read(name, partition, there, min(last + 1, self.cut.end[name].get(partition, 0)))


def partitions(cut: Cut, name: str) -> list[int]:
    """The partitions of a log, in order."""
    return sorted(cut.end[name])
