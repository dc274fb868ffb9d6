"""Rejects, as far as no broker is needed: coordinates, what is read together, sources, times, bytes as text."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.rejected import newest, readable, since_ms
from headrace.contract.documents import RejectedHeaders, headers_to_keep
from headrace.contract.errors import Coordinate, SettingsError
from headrace.rejects import GAP, Reject, _stretches, parse_coordinate

AT = Coordinate("text.rejected", 0, 7)


def reject(value: bytes | None = b"text", at: Coordinate = AT, published: int = 0, **original: bytes) -> Reject:
    said = {name.replace("_", "-"): content for name, content in original.items()}
    return Reject(at, published, RejectedHeaders("empty", "clean", "", (1, 2), said), value)


@pytest.mark.parametrize(
    ("text", "topic", "partition", "offset"),
    [
        ("3:17", "text.raw", 3, 17),
        ("text.raw[3]@17", "text.raw", 3, 17),
        ("text.rejected[0]@5", "text.rejected", 0, 5),
    ],
)
def test_a_coordinate_is_taken_as_messages_print_it(text: str, topic: str, partition: int, offset: int) -> None:
    assert parse_coordinate(text) == Coordinate(topic, partition, offset)


@pytest.mark.parametrize("text", ["", "3", "3:", "-1:2", "3:17 ", "text.clean[0]@1", "text.raw[0]", "text.raw@5"])
def test_what_is_no_coordinate_is_told_so(text: str) -> None:
    with pytest.raises(SettingsError, match="PARTITION:OFFSET"):
        parse_coordinate(text)


@given(st.sets(st.tuples(st.integers(0, 2), st.integers(0, 5 * GAP))))
def test_stretches_hold_every_place_and_no_long_gap(places: set[tuple[int, int]]) -> None:
    found = list(_stretches(sorted(places)))
    assert all(sum(part == at[0] and first <= at[1] <= last for part, first, last in found) == 1 for at in places)
    assert all((part, end) in places for part, first, last in found for end in (first, last))
    for part, first, last in found:
        inside = [at for of, at in sorted(places) if of == part and first <= at <= last]
        assert all(later - at <= GAP for at, later in pairwise(inside))


def test_the_headers_of_the_document_come_with_its_reject() -> None:
    kept = headers_to_keep({"source": b"chat", "id": None, "mine": b"x", "replay-of": b"0:1"})
    assert kept == {"source": b"chat", "replay-of": b"0:1"}
    said = RejectedHeaders("empty", "clean", "", (1, 2), kept)
    assert RejectedHeaders.decode(list(said.encode().items()), AT) == said


def test_where_a_reject_came_from_is_read_from_its_header_or_its_json() -> None:
    assert reject(b"text", source=b"chat").source == "chat"
    assert reject(b'{"text": "t", "source": "mail"}').source == "mail"
    assert reject(b'{"text": 5, "source": "mail"}', source=b"news").source == "news", "as far as it can be read"
    assert reject(None).source == "unknown"
    assert reject(b"text", replay_of=b"0:1").is_replay
    assert not reject(b"text").is_replay


def test_the_newest_of_all_partitions_are_shown() -> None:
    many = [
        reject(at=Coordinate("text.rejected", part, at), published=10 * at + part) for part in (0, 1) for at in range(9)
    ]
    assert [one.published for one in newest(many, 3)] == [71, 80, 81]


def test_since_says_from_which_moment_on() -> None:
    now = datetime.fromtimestamp(1000, UTC)
    assert since_ms("90s", now) == 910_000
    assert since_ms("1970-01-02T02:00:00+02:00", now) == 86_400_000
    assert since_ms(None, now) == since_ms("1960-01-01", now) == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Zwölf\n\tBoxkämpfer".encode(), "Zwölf\n\tBoxkämpfer"),
        (b"\xff\x00", "b'\\xff\\x00'"),
        (b"\x1b[31mred", "b'\\x1b[31mred'"),
        ("\u202egnp.exe".encode(), "b'\\xe2\\x80\\xaegnp.exe'"),
    ],
)
def test_bytes_that_could_fool_a_terminal_are_shown_as_bytes(value: bytes, text: str) -> None:
    assert readable(value) == text
