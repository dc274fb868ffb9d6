"""Which records that a job has read have no outcome: on topics of a test, kept in lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pytest

from headrace.contract import topics
from headrace.contract.audit import VerifiedCut
from headrace.contract.blocks import Block
from headrace.contract.documents import CleanDocument, RejectedHeaders, Stage
from headrace.contract.errors import Coordinate
from headrace.jobs.counting import NOTHING, count, reached, unread
from headrace.jobs.job import CLEAN, TOKENIZE
from headrace.kafka import Cluster

Positions = Mapping[int, int]


@dataclass
class Record:
    """What counting asks of a message."""

    at: tuple[int, int]
    content: bytes | None = None
    said: Mapping[str, bytes] = field(default_factory=dict)

    def topic(self) -> str:
        return "any"

    def partition(self) -> int:
        return self.at[0]

    def offset(self) -> int:
        return self.at[1]

    def value(self) -> bytes | None:
        return self.content

    def headers(self) -> list[tuple[str, bytes | None]]:
        return list(self.said.items())


class Topics:
    """What a cluster says of its topics; a marker takes an offset and is no record."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Record | None]] = defaultdict(list)
        self.read_from: list[tuple[str, int]] = []

    def add(self, name: str, content: bytes | None = b"", said: Mapping[str, bytes] | None = None) -> int:
        self.logs[name].append(Record((0, len(self.logs[name])), content, said or {}))
        return len(self.logs[name]) - 1

    def publish(self, documents: int) -> None:
        for _ in range(documents):
            self.add(topics.RAW, b"a text")

    def mark(self, name: str) -> None:
        self.logs[name].append(None)

    def accept(self, *raws: int) -> None:
        for raw in raws:
            made = CleanDocument(raw=(0, raw), id=None, source="s", time=1, language=None, text="a text", label=None)
            self.add(topics.CLEAN, made.encode())

    def reject(self, raw: int, stage: Stage = "clean") -> None:
        self.add(topics.REJECTED, None, RejectedHeaders("empty", stage, "", (0, raw)).encode())

    def pack(self, *spans: tuple[int, int, int]) -> None:
        """One block of (document, first token, tokens in all) with two tokens of each."""
        columns = np.array(spans, np.int32)
        size = len(spans)
        block = Block(
            tokens=np.ones(2 * size, np.uint16),
            doc_raw=np.array([(0, raw) for raw, _, _ in spans], np.int64),
            doc_start=np.arange(0, 2 * size, 2, dtype=np.int32),
            doc_from=columns[:, 1].copy(),
            doc_tokens=columns[:, 2].copy(),
            doc_before=np.zeros(size, np.int32),
            doc_source=np.zeros(size, np.int32),
            sources=("a",),
            tokenizer="t",
            window=0,
            shard=0,
            number=0,
        )
        self.add(topics.BLOCKS, block.encode())

    def partitions(self, names: Sequence[str]) -> dict[str, int]:
        return {name: 1 for name in names if name in self.logs}

    def first_offsets(self, name: str) -> dict[int, int]:
        return {0: 0}

    def end_offsets(self, name: str) -> dict[int, int]:
        return {0: len(self.logs[name])}

    def settled_ends(self, name: str, timeout_s: float) -> dict[int, int]:
        return self.end_offsets(name)

    def read(self, name: str, partition: int, start: int, end: int) -> Iterator[Record]:
        self.read_from.append((name, start))
        yield from (record for record in self.logs[name][start:end] if record is not None)

    def read_all(self, name: str, start: Positions, end: Positions) -> Iterator[Record]:
        for partition, last in end.items():
            yield from self.read(name, partition, start.get(partition, 0), last)


@pytest.fixture
def logs() -> Topics:
    return Topics()


def as_cluster(logs: Topics) -> Cluster:
    return cast(Cluster, logs)


def missing(logs: Topics, passed: int) -> list[str]:
    return [str(at) for at in count(as_cluster(logs), CLEAN, NOTHING, {0: passed}).missing]


def test_every_record_below_the_position_has_its_outcome(logs: Topics) -> None:
    logs.publish(4)
    logs.accept(0, 3)
    logs.reject(1)
    logs.reject(2, "tokenize")  # of another stage: no outcome of clean
    assert missing(logs, 2) == []
    assert missing(logs, 4) == ["text.raw[0]@2"]
    logs.reject(2)
    assert missing(logs, 4) == []


def test_a_marker_needs_no_outcome(logs: Topics) -> None:
    logs.publish(1)
    logs.mark(topics.RAW)
    logs.publish(1)
    logs.accept(0)
    assert missing(logs, 2) == []
    assert missing(logs, 3) == ["text.raw[0]@2"]


def test_a_later_count_reads_only_what_came_since(logs: Topics) -> None:
    cluster = as_cluster(logs)
    logs.publish(30)
    logs.accept(*range(10))
    first = count(cluster, CLEAN, NOTHING, {0: 10})
    logs.accept(*range(10, 20))
    second = count(cluster, CLEAN, first.counted, {0: 20})
    assert not second.missing
    assert second.counted.outputs[topics.CLEAN] == {0: 10}
    logs.accept(*range(20, 29))
    logs.read_from.clear()
    third = count(cluster, CLEAN, second.counted, {0: 29})
    assert not third.missing
    assert (topics.CLEAN, 10) in logs.read_from
    assert (topics.CLEAN, 0) not in logs.read_from
    assert [str(at) for at in count(cluster, CLEAN, third.counted, {0: 30}).missing] == ["text.raw[0]@29"]


def test_what_looks_missing_is_looked_for_everywhere(logs: Topics) -> None:
    cluster = as_cluster(logs)
    logs.publish(3)
    logs.accept(0, 1, 2)  # the last one early: before what a later count begins with
    first = count(cluster, CLEAN, NOTHING, {0: 1})
    second = count(cluster, CLEAN, first.counted, {0: 2})
    assert second.counted.outputs[topics.CLEAN] == {0: 3}
    assert not count(cluster, CLEAN, second.counted, {0: 3}).missing


def test_a_document_is_tokenized_with_its_last_token(logs: Topics) -> None:
    cluster = as_cluster(logs)
    logs.accept(5, 7, 6, 9)
    logs.pack((5, 0, 2), (7, 0, 4))
    logs.reject(9, "tokenize")
    named = [str(at) for at in count(cluster, TOKENIZE, NOTHING, {0: 4}).missing]
    assert named == ["text.clean[0]@1", "text.clean[0]@2"]
    logs.pack((7, 2, 4), (6, 0, 2))
    assert not count(cluster, TOKENIZE, NOTHING, {0: 4}).missing


def test_what_is_no_document_was_rejected_without_its_name(logs: Topics) -> None:
    logs.accept(0)
    logs.add(topics.CLEAN, b'{"schema":1,"raw":[0,1]}')
    logs.add(topics.CLEAN, b"nothing of ours")
    assert [str(at) for at in count(as_cluster(logs), TOKENIZE, NOTHING, {0: 3}).missing] == ["text.clean[0]@0"]


def test_what_was_verified_before_its_outcome_was_deleted_is_not_missing(logs: Topics) -> None:
    logs.publish(6)
    logs.accept(4)
    cut = VerifiedCut(positions={topics.RAW: {0: 3}}, early={0: ((5, 1),)}).sealed()
    logs.add(topics.CUTS, cut.encode())
    assert missing(logs, 6) == ["text.raw[0]@3"]


def test_how_far_the_outcomes_reach(logs: Topics) -> None:
    cluster = as_cluster(logs)
    logs.publish(6)
    assert reached(cluster, CLEAN, NOTHING) == {}
    logs.accept(0, 3, 2)
    assert reached(cluster, CLEAN, NOTHING) == {0: 4}
    assert reached(cluster, TOKENIZE, NOTHING) == {}
    logs.pack((3, 0, 2))
    assert reached(cluster, TOKENIZE, NOTHING) == {0: 2}


def test_what_is_not_read_yet(logs: Topics) -> None:
    cluster = as_cluster(logs)
    logs.accept(0, 1)
    logs.mark(topics.CLEAN)
    assert unread(cluster, TOKENIZE, {0: 1}) == Coordinate(topics.CLEAN, 0, 1)
    assert unread(cluster, TOKENIZE, {0: 2}) is None
