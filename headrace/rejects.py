"""The rejected documents: read them, find one, publish them again.

A replay writes a document to `text.raw` and its old coordinate to `text.replayed` in one transaction: whatever ends it,
the document was replayed and is known to be, or neither. A second replay fences off the first, and reads
`text.replayed` only after that. So no document is replayed twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException, Message, Producer

from headrace.contract.documents import DUPLICATES, REPLAY_OF, UNKNOWN_SOURCE, RejectedHeaders, decode_raw
from headrace.contract.errors import Coordinate, DependencyError, HeadraceError, Rejected, SettingsError
from headrace.contract.record import Record
from headrace.contract.topics import MIB, RAW, RAW_RECORD_BYTES, REJECTED, REPLAY_TRANSACTIONAL_ID, REPLAYED, TOPICS
from headrace.kafka import Cluster, coordinate, transactional_producer
from headrace.topics import create_topics

TIMEOUT_S = 30.0
BATCH_RECORDS, BATCH_BYTES = 1_000, 16 * MIB
"""Most documents, and about how many bytes, in one transaction."""
GAP = 10_000
"""Offsets further apart than this are looked up one by one instead of reading all between them."""

Raw = tuple[int, int]
HeaderList = list[tuple[str, bytes | None]]
_COORDINATE = re.compile(r"(?:(?P<topic>[\w.-]+)\[(?P<part>\d+)\]@(?P<at>\d+))|(?:(?P<p>\d+):(?P<o>\d+))")


class Replayed(Record):
    """One record of `text.replayed`, key `PARTITION:OFFSET`: the document of that coordinate was published again."""

    raw: Raw
    time: int


@dataclass(frozen=True)
class Reject:
    """One record of `text.rejected`. `published`: epoch milliseconds, of the record in `text.raw`."""

    at: Coordinate
    published: int
    said: RejectedHeaders
    value: bytes | None

    @property
    def source(self) -> str:
        """Where the document said that it came from, as far as that can be read."""
        try:
            return decode_raw(self.value, self.said.original, RAW_RECORD_BYTES).source
        except Rejected:
            return self.said.original.get("source", UNKNOWN_SOURCE.encode()).decode("utf-8", "replace")

    @property
    def is_replay(self) -> bool:
        """Whether the rejected document was a replay itself."""
        return REPLAY_OF in self.said.original


def parse_coordinate(text: str) -> Coordinate:
    """`PARTITION:OFFSET` of `text.raw`, or a coordinate as messages print it: `text.rejected[0]@5`."""
    if (found := _COORDINATE.fullmatch(text)) is None or found["topic"] not in (None, RAW, REJECTED):
        raise SettingsError(
            f"{text} is no coordinate: write PARTITION:OFFSET of {RAW}, or {RAW}[PARTITION]@OFFSET, or"
            f" {REJECTED}[PARTITION]@OFFSET"
        )
    if found["topic"]:
        return Coordinate(found["topic"], int(found["part"]), int(found["at"]))
    return Coordinate(RAW, int(found["p"]), int(found["o"]))


def read_rejects(cluster: Cluster, since_ms: int = 0) -> Iterator[Reject]:
    """All rejects published since, a partition after the other. Raises RecordError for a record that is none."""
    first, end = cluster.first_offsets(REJECTED), cluster.settled_ends(REJECTED, TIMEOUT_S)
    young = cluster.offsets_since(REJECTED, since_ms) if since_ms else first
    for message in cluster.read_all(REJECTED, first | young, {part: end[part] for part in young}):
        at = Coordinate(REJECTED, coordinate(message).partition, coordinate(message).offset)
        published = message.timestamp()[1]
        if published >= since_ms:
            yield Reject(at, published, RejectedHeaders.decode(message.headers(), at), message.value())


def find(cluster: Cluster, wanted: Sequence[Coordinate]) -> list[Reject]:
    """The rejects at these coordinates, of `text.raw` or of `text.rejected`; SettingsError names one that is none.

    A coordinate of `text.raw` is looked for in all of `text.rejected`.
    """
    left = set(wanted)
    found = []
    quick = all(at.topic == REJECTED for at in wanted)
    for reject in _at(cluster, wanted) if quick else read_rejects(cluster):
        matches = left & {reject.at, Coordinate(RAW, *reject.said.raw)}
        found += [reject] if matches else []
        left -= matches
    if left:
        raise SettingsError(f"{min(left, key=str)} was not rejected, or is not kept any more: `headrace rejected list`")
    return found


def _at(cluster: Cluster, wanted: Sequence[Coordinate]) -> Iterator[Reject]:
    for message in records_at(cluster, REJECTED, {(at.partition, at.offset) for at in wanted}):
        at = Coordinate(REJECTED, coordinate(message).partition, coordinate(message).offset)
        yield Reject(at, message.timestamp()[1], RejectedHeaders.decode(message.headers(), at), message.value())


def records_at(cluster: Cluster, name: str, places: Iterable[Raw]) -> Iterator[Message]:
    """The records at these places that are still there, in order."""
    first, end = cluster.first_offsets(name), cluster.end_offsets(name)
    wanted = {(part, at) for part, at in places if part in end and first[part] <= at < end[part]}
    for part, start, last in _stretches(sorted(wanted)):
        for message in cluster.read(name, part, start, last + 1):
            if (part, message.offset()) in wanted:
                yield message


def _stretches(places: Iterable[Raw]) -> Iterator[tuple[int, int, int]]:
    """(partition, first, last) of sorted places that lie close together."""
    stretch: tuple[int, int, int] | None = None
    for part, at in places:
        if stretch is not None and part == stretch[0] and at - stretch[2] <= GAP:
            stretch = part, stretch[1], at
            continue
        if stretch is not None:
            yield stretch
        stretch = part, at, at
    if stretch is not None:
        yield stretch


@dataclass
class Replay:
    """What a replay did, in documents.

    already    replayed before, or themselves replays that were rejected again
    duplicate  no bytes are kept of these: their like was accepted
    empty      there is nothing to publish again
    gone       rejected by the tokenize job, and no longer in `text.raw`, where their bytes were
    """

    replayed: int = 0
    already: int = 0
    duplicate: int = 0
    empty: int = 0
    gone: int = 0


class Replayer:
    """Publishes rejected documents again. Making one blocks, and fences off any other; with `dry_run` neither.

    `again`: also those that are replays themselves, and were rejected again.
    """

    def __init__(self, cluster: Cluster, dry_run: bool = False, again: bool = False) -> None:
        self.cluster = cluster
        self.again = again
        self.producer = None if dry_run else self._take_over()
        self.done = self._read_replayed()
        self.result = Replay()

    def run(self, rejects: Iterable[Reject], now_ms: int) -> Replay:
        """Replay all of these that may be; raises HeadraceError when another replay took over or Kafka fails."""
        for batch in _batches(reject for reject in rejects if self._may(reject)):
            self._write(list(self._documents(batch)), now_ms)
        return self.result

    def _may(self, reject: Reject) -> bool:
        """Whether a reject is to be replayed; else it is counted as what it is."""
        if reject.said.raw in self.done or (reject.is_replay and not self.again):
            self.result.already += 1
        elif reject.said.reason in DUPLICATES:
            self.result.duplicate += 1
        elif not reject.value:
            self.result.empty += 1
        else:
            return True
        return False

    def _documents(self, batch: Sequence[Reject]) -> Iterator[tuple[Raw, bytes, bytes | None, HeaderList]]:
        """Place, bytes, key and headers of each document: as published, or where that is deleted, as rejected."""
        there = {
            (coordinate(message).partition, coordinate(message).offset): message
            for message in records_at(self.cluster, RAW, {reject.said.raw for reject in batch})
        }
        for reject in batch:
            place = reject.said.raw
            if place in self.done:  # twice in one selection
                continue
            self.done.add(place)
            if (message := there.get(place)) is not None:
                headers: HeaderList = [pair for pair in message.headers() or () if pair[0] != REPLAY_OF]
                yield place, message.value() or b"", message.key(), headers
            elif reject.said.stage == "clean":
                yield place, reject.value or b"", None, _headers(reject.said.original)
            else:
                self.result.gone += 1

    def _write(self, documents: Sequence[tuple[Raw, bytes, bytes | None, HeaderList]], now_ms: int) -> None:
        """One transaction: the documents, and that they were replayed."""
        if self.producer is not None and documents:
            settings = self.cluster.settings
            try:
                self.producer.begin_transaction()
                for place, value, key, headers in documents:
                    name = f"{place[0]}:{place[1]}".encode()
                    self.producer.produce(settings.topic(RAW), value, key=key, headers=[*headers, (REPLAY_OF, name)])
                    note = Replayed(raw=place, time=now_ms).encode()
                    self.producer.produce(settings.topic(REPLAYED), note, key=name, partition=0)
                    self.producer.poll(0)
                self.producer.commit_transaction(TIMEOUT_S)
            except KafkaException as error:
                raise HeadraceError(
                    f"another replay took over, or whether the last {len(documents)} were replayed is unclear"
                    f" ({error.args[0].str()}): do it again, nothing is replayed twice"
                ) from error
        self.result.replayed += len(documents)

    def _take_over(self) -> Producer:
        if not self.cluster.partitions([REPLAYED]):
            create_topics(self.cluster, [topic for topic in TOPICS if topic.name == REPLAYED])
        try:
            return transactional_producer(self.cluster.settings, REPLAY_TRANSACTIONAL_ID)
        except KafkaException as error:
            raise DependencyError(f"no transaction on {self.cluster.brokers}: {error.args[0].str()}") from error

    def _read_replayed(self) -> set[Raw]:
        if not self.cluster.partitions([REPLAYED]):
            return set()
        ends = self.cluster.settled_ends(REPLAYED, TIMEOUT_S)
        return {
            Replayed.decode(message.value(), coordinate(message)).raw
            for message in self.cluster.read_all(REPLAYED, end=ends)
        }


def _headers(original: Mapping[str, bytes]) -> HeaderList:
    return [(name, value) for name, value in original.items() if name != REPLAY_OF]


def _batches(rejects: Iterable[Reject]) -> Iterator[list[Reject]]:
    batch: list[Reject] = []
    size = 0
    for reject in rejects:
        batch.append(reject)
        size += len(reject.value or b"")
        if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
