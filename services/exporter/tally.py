"""What the records of one partition come to, up to a position: kept in Kafka beside that position, so it is never lost.

A counter that begins at 0 with its process loses what was counted between the last scrape and its end, and what came
while nobody counted. These go on from where they were (decision 17).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import get_args

import orjson
from confluent_kafka import Message

from headrace.contract import metrics
from headrace.contract.blocks import Seal
from headrace.contract.documents import REASONS, RejectedHeaders, Stage
from headrace.contract.errors import Coordinate, RecordError
from headrace.contract.metrics import NAMES, OTHER, Metric
from headrace.contract.topics import CLEAN, REJECTED, WINDOWS
from headrace.kafka import coordinate
from headrace.observe import Sample

COUNTED = (CLEAN, REJECTED, WINDOWS)
COUNTERS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        metrics.DOCUMENTS,
        metrics.SOURCES,
        metrics.LANGUAGES,
        metrics.CHARACTERS,
        metrics.REDACTIONS,
        metrics.WINDOWS,
        metrics.WINDOW_DOCUMENTS,
        metrics.WINDOW_BLOCKS,
        metrics.WINDOW_TOKENS,
    )
}
NAME_BYTES = 60
"""A longer name is cut: all that is kept beside a position has to fit into 4 KiB."""

Series = tuple[str, ...]
"""Name of the metric, then the values of its labels."""
FROM_0: tuple[Series, ...] = (
    *((metric.name,) for metric in COUNTERS.values() if not metric.labels),
    *((metrics.DOCUMENTS.name, stage, "accepted", "") for stage in get_args(Stage)),
    *((metrics.DOCUMENTS.name, stage, "rejected", reason) for stage in get_args(Stage) for reason in REASONS),
)
"""Shown before the first one comes: of a counter that begins at 3 Prometheus does not see that it rose."""
Counts = Iterable[tuple[Series, int]]


@dataclass
class Tally:
    """The counts of one partition, of all records before `position`."""

    position: int
    counts: Counter[Series] = field(default_factory=Counter)

    def encode(self) -> str:
        """As the metadata of a commit, a few hundred bytes."""
        return orjson.dumps([[*series, count] for series, count in sorted(self.counts.items())]).decode()

    @classmethod
    def decode(cls, position: int, metadata: str | None) -> Tally:
        """What was committed; raises ValueError for metadata that this program has not written."""
        rows = orjson.loads(metadata or "[]")
        return cls(position, Counter({tuple(series): int(count) for *series, count in rows if series[0] in COUNTERS}))


class Tallies:
    """All partitions together, by (topic, partition). Names of sources and languages are bounded over all of them."""

    def __init__(self, found: dict[tuple[str, int], Tally]) -> None:
        self.of = found

    def take(self, name: str, message: Message) -> None:
        """Count one record of topic `name`; raises RecordError for one that cannot be read, and is then past it."""
        at = coordinate(message)
        tally = self.of[name, at.partition]
        tally.position = at.offset + 1
        for series, count in self._bounded(_read(name, message, at)):
            tally.counts[series] += count

    def samples(self) -> Iterator[Sample]:
        """The sums over all partitions."""
        total: Counter[Series] = Counter(dict.fromkeys(FROM_0, 0))
        for tally in list(self.of.values()):
            total.update(tally.counts.copy())
        return ((COUNTERS[name], tuple(labels), count) for (name, *labels), count in total.items())

    def _bounded(self, counts: Counts) -> Iterator[tuple[Series, int]]:
        for series, count in counts:
            free = series[0] in (metrics.SOURCES.name, metrics.LANGUAGES.name) and not self._room(series)
            yield ((series[0], OTHER) if free else series), count

    def _room(self, series: Series) -> bool:
        known = {each for tally in self.of.values() for each in tally.counts if each[0] == series[0]}
        return series in known or len(known) < NAMES


def _read(name: str, message: Message, at: Coordinate) -> Counts:
    if name == CLEAN:
        return accepted(message.value(), at)
    if name == REJECTED:
        said = RejectedHeaders.decode(message.headers(), at)
        return [((metrics.DOCUMENTS.name, said.stage, "rejected", said.reason), 1)]
    return sealed(Seal.decode(message.value(), at))


def accepted(value: bytes | None, at: Coordinate) -> Counts:
    """What a record of `text.clean` counts for; raises RecordError."""
    try:
        said = orjson.loads(value or b"")
        source, language, text = said["source"], said["language"], said["text"]
        hidden = [((metrics.REDACTIONS.name, str(kind)), int(count)) for kind, count in said.get("hidden", {}).items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecordError(at, f"not a document: {error}") from None
    return [
        ((metrics.DOCUMENTS.name, "clean", "accepted", ""), 1),
        ((metrics.SOURCES.name, label(source)), 1),
        ((metrics.LANGUAGES.name, label(language or "unknown")), 1),
        ((metrics.CHARACTERS.name,), len(text)),
        *hidden,
    ]


def sealed(seal: Seal) -> Counts:
    """What a record of `tokens.windows` counts for."""
    return [
        ((metrics.DOCUMENTS.name, "tokenize", "accepted", ""), seal.documents),
        ((metrics.WINDOWS.name,), 1),
        ((metrics.WINDOW_DOCUMENTS.name,), seal.documents),
        ((metrics.WINDOW_BLOCKS.name,), seal.blocks),
        ((metrics.WINDOW_TOKENS.name,), seal.tokens),
    ]


def label(name: str) -> str:
    """A publisher's word as the value of a label: short, and nothing in it that cannot be printed."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable.encode()[:NAME_BYTES].decode("utf-8", "ignore")
