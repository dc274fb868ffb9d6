"""What the exporter counts: each record once, in names that are few, and the same after a restart."""

from __future__ import annotations

import pytest

from headrace.contract import metrics
from headrace.contract.blocks import Seal
from headrace.contract.documents import REASONS, CleanDocument, RejectedHeaders
from headrace.contract.errors import RecordError
from headrace.contract.metrics import NAMES, OTHER
from headrace.contract.topics import CLEAN, REJECTED, WINDOWS
from services.exporter.service import restored
from services.exporter.tally import NAME_BYTES, Tallies, Tally, label

LARGEST_METADATA = 4096
"""The broker's offset.metadata.max.bytes."""


class Record:
    """A Kafka message as far as a tally looks at it."""

    def __init__(self, topic: str, offset: int, value: bytes | None, headers: dict[str, bytes] | None = None) -> None:
        self.said = topic, offset, value, headers

    def topic(self) -> str:
        return self.said[0]

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self.said[1]

    def value(self) -> bytes | None:
        return self.said[2]

    def headers(self) -> list[tuple[str, bytes]]:
        return list((self.said[3] or {}).items())


def document(offset: int, source: str = "chat", language: str | None = "en") -> Record:
    said = CleanDocument(
        raw=(0, offset),
        id=None,
        source=source,
        time=0,
        language=language,
        text="four words of text",
        label=None,
        hidden={"EMAIL": 2},
    )
    return Record(CLEAN, offset, said.encode())


def reject(offset: int, reason: str, stage: str = "clean") -> Record:
    return Record(REJECTED, offset, None, RejectedHeaders(reason, stage, "", (0, offset)).encode())  # type: ignore[arg-type]


def seal(offset: int) -> Record:
    said = Seal(start=0, end=1, shard=0, documents=3, tokens=200, blocks=2, digest="")
    return Record(WINDOWS, offset, said.encode())


def tallies() -> Tallies:
    return Tallies({(name, 0): Tally(0) for name in (CLEAN, REJECTED, WINDOWS)})


def shown(found: Tallies) -> dict[tuple[str, ...], float]:
    return {(metric.name, *labels): value for metric, labels, value in found.samples() if value}


def test_each_record_counts_where_it_belongs() -> None:
    found = tallies()
    for record in (document(0), document(3, "mail", None)):
        found.take(CLEAN, record)  # type: ignore[arg-type]
    for offset, reason in enumerate(("duplicate", "empty", "duplicate")):
        found.take(REJECTED, reject(offset, reason))  # type: ignore[arg-type]
    found.take(WINDOWS, seal(0))  # type: ignore[arg-type]
    documents = metrics.DOCUMENTS.name
    assert shown(found) == {
        (documents, "clean", "accepted", ""): 2,
        (documents, "clean", "rejected", "duplicate"): 2,
        (documents, "clean", "rejected", "empty"): 1,
        (documents, "tokenize", "accepted", ""): 3,
        (metrics.SOURCES.name, "chat"): 1,
        (metrics.SOURCES.name, "mail"): 1,
        (metrics.LANGUAGES.name, "en"): 1,
        (metrics.LANGUAGES.name, "unknown"): 1,
        (metrics.CHARACTERS.name,): 36,
        (metrics.REDACTIONS.name, "EMAIL"): 4,
        (metrics.WINDOWS.name,): 1,
        (metrics.WINDOW_DOCUMENTS.name,): 3,
        (metrics.WINDOW_BLOCKS.name,): 2,
        (metrics.WINDOW_TOKENS.name,): 200,
    }
    assert found.of[CLEAN, 0].position == 4


def test_what_has_not_come_yet_is_0_so_that_prometheus_sees_the_first_one_as_a_rise() -> None:
    documents = metrics.DOCUMENTS.name
    before = {(metric.name, *labels): value for metric, labels, value in tallies().samples()}
    assert set(before.values()) == {0}
    assert {(documents, stage, "rejected", reason) for stage in ("clean", "tokenize") for reason in REASONS} < set(
        before
    )
    assert {(documents, "clean", "accepted", ""), (documents, "tokenize", "accepted", "")} < set(before)
    assert (metrics.WINDOW_TOKENS.name,) in before


def test_a_commit_holds_the_counts_and_the_next_process_goes_on_from_them() -> None:
    before = tallies()
    before.take(CLEAN, document(0))  # type: ignore[arg-type]
    tally = before.of[CLEAN, 0]
    after = Tallies({(CLEAN, 0): Tally.decode(tally.position, tally.encode())})
    after.take(CLEAN, document(1))  # type: ignore[arg-type]
    assert shown(after)[metrics.DOCUMENTS.name, "clean", "accepted", ""] == 2


@pytest.mark.parametrize("metadata", ["someone else's", '{"a": 1}', "[[]]", "[[1]]"])
def test_a_commit_of_someone_else_keeps_its_position_alone(metadata: str) -> None:
    class Committed:
        topic, partition, offset = CLEAN, 0, 7

    Committed.metadata = metadata  # type: ignore[attr-defined]
    assert restored(Committed()) == Tally(7)  # type: ignore[arg-type]


def test_names_are_bounded_and_what_is_kept_of_them_fits_into_a_commit() -> None:
    found = tallies()
    hostile = [f"{number:03}" + '"\\\n\u2028𝄞' * 80 for number in range(3 * NAMES)]
    for offset, name in enumerate(hostile):
        found.take(CLEAN, document(offset, name, f"l{offset}"))  # type: ignore[arg-type]
    sources = {key[1]: value for key, value in shown(found).items() if key[0] == metrics.SOURCES.name}
    assert len(sources) == NAMES + 1
    assert sources[OTHER] == 2 * NAMES
    assert all(len(name.encode()) <= NAME_BYTES for name in sources)
    assert len(found.of[CLEAN, 0].encode().encode()) < LARGEST_METADATA


def test_a_label_can_be_printed() -> None:
    assert label("a\nb\x00") == "a?b?"


def test_a_record_that_cannot_be_read_is_passed_over() -> None:
    found = tallies()
    with pytest.raises(RecordError):
        found.take(CLEAN, Record(CLEAN, 5, b"no document"))  # type: ignore[arg-type]
    assert found.of[CLEAN, 0].position == 6
    assert shown(found) == {}
