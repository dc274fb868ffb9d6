"""A file that is left at any place is gone on with there: nothing twice, nothing missing, whatever happened to it."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import orjson
import pytest
import zstandard

from headrace.cli.inputs.cut import Columns, Cut, Format, Found, Item, Refused
from headrace.cli.inputs.files import InputFile
from headrace.cli.inputs.memory import Memory
from headrace.contract.bookmarks import FileBookmark
from headrace.contract.documents import decode_raw

LIMIT = 200
TABLE = '\ufefftext,id\n"one, with\ntwo lines",1\n\ntwo,2\nbroken\n"said ""three""",3\nfour,4'


def parquet(path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"text": f"row {number}", "id": number, "other": [number]} for number in range(25)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)


def written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


JSONL = b'{"text": "a"}\n\n{"text": "b"}\n{"text": \n{"text": "d"}\n' + b"x" * 500 + b'\n{"text": "f"}'
FILES: dict[str, Callable[[Path], object]] = {
    "a.log": written(b"one\r\ntwo\n\nthree\n" + b"x" * 999 + b"\nfive"),
    "a.jsonl": written(JSONL),
    "a.jsonl.gz": written(gzip.compress(JSONL[:30]) + gzip.compress(JSONL[30:])),
    "a.jsonl.zst": written(zstandard.compress(JSONL[:30]) + zstandard.compress(JSONL[30:])),
    "a.csv": written(TABLE.encode()),
    "a.tsv.gz": written(gzip.compress(TABLE.replace(",", "\t").encode())),
    "a.json": written(orjson.dumps([{"text": "a", "id": 1}, "b", 3, {"no": 1}, {"text": "e"}])),
    "a.parquet": parquet,
    "a.txt": written(b"one\ntwo\n"),
}


def opened(path: Path, known: list[FileBookmark], cut: Cut = Cut(LIMIT)) -> InputFile:
    file = InputFile(str(path), cut.of(str(path)))
    file.recognise(Memory(known).candidates(str(path)))
    return file


def taken(path: Path, known: list[FileBookmark], most: int | None = None, cut: Cut = Cut(LIMIT)) -> list[Item]:
    """The next items; `known` gets the bookmark behind them."""
    with opened(path, known, cut) as file:
        items = list(islice(file.items(), most))
        known.append(file.bookmark("topic"))
    return items


@pytest.mark.parametrize("name", FILES)
def test_left_after_any_item_it_goes_on_with_the_next(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    FILES[name](path)
    whole = taken(path, [])
    assert len([item for item in whole if isinstance(item, Found)]) == {"a.txt": 1, "a.parquet": 25}.get(name) or 3
    for left in range(len(whole) + 1):
        known: list[FileBookmark] = []
        assert taken(path, known, left) + taken(path, known) == whole
        assert taken(path, known) == []
        assert known[-1].whole
        assert known[-1].documents == sum(isinstance(item, Found) for item in whole)


@pytest.mark.parametrize("name", FILES)
def test_one_item_at_a_time_is_the_same(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    FILES[name](path)
    known: list[FileBookmark] = []
    one_by_one = [item for _ in range(30) for item in taken(path, known, 1)]
    assert one_by_one == taken(path, [])


def test_what_was_added_is_taken_and_a_finished_last_line_is_not_taken_twice(tmp_path: Path) -> None:
    path, known = tmp_path / "a.log", list[FileBookmark]()
    path.write_text("one\ntwo")
    assert values(taken(path, known)) == [b"one", b"two"]
    path.write_text("one\ntwo\n")
    assert values(taken(path, known)) == []
    path.write_text("one\ntwo\nthree\n")
    assert values(taken(path, known)) == [b"three"]


def test_a_last_line_that_was_half_written_is_taken_again_as_a_whole(tmp_path: Path) -> None:
    path, known = tmp_path / "a.log", list[FileBookmark]()
    path.write_text("one\nhal")
    assert values(taken(path, known)) == [b"one", b"hal"]
    path.write_text("one\nhalf")
    assert values(taken(path, known)) == [b"half"]
    path.write_text("one\nhalf a line\nnext\n")
    assert values(taken(path, known)) == [b"half a line", b"next"]


def test_another_file_of_that_name_is_taken_from_its_beginning(tmp_path: Path) -> None:
    path, known = tmp_path / "a.log", list[FileBookmark]()
    path.write_text("one\ntwo\n")
    taken(path, known)
    path.write_text("ONE\ntwo\nthree\n")
    assert values(taken(path, known)) == [b"ONE", b"two", b"three"]
    path.write_text("ONE\ntwo\nthree\nfour\n")
    assert values(taken(path, known)) == [b"four"]


@pytest.mark.parametrize("packed", [None, gzip.compress, zstandard.compress])
def test_a_rotated_file_is_known_again(packed: Callable[[bytes], bytes] | None, tmp_path: Path) -> None:
    path, known = tmp_path / "app.log", list[FileBookmark]()
    path.write_text("one\ntwo\n")
    taken(path, known)
    with path.open("a") as log:
        log.write("three\n")
    rotated = path.rename(tmp_path / "app.log.1")
    if packed:
        content = rotated.read_bytes()
        rotated.unlink()
        rotated = tmp_path / "app.log.2.gz"
        rotated.write_bytes(packed(content))
    path.write_text("four\n")
    assert values(taken(rotated, known)) == [b"three"]
    assert values(taken(path, known)) == [b"four"]


def test_two_files_that_hold_the_same_are_two(tmp_path: Path) -> None:
    known: list[FileBookmark] = []
    for name in ("a.log", "a.old.log", "b.log", "a.txt", "b.txt"):
        (tmp_path / name).write_text("the same\n")
        assert len(taken(tmp_path / name, known)) == 1, name


def test_cut_in_another_way_it_is_another_input(tmp_path: Path) -> None:
    path, known = tmp_path / "a.jsonl", list[FileBookmark]()
    path.write_text('{"text": "a", "body": "b"}\n')
    for cut in (Cut(LIMIT), Cut(LIMIT, Format.lines), Cut(LIMIT, columns=Columns("body"))):
        assert len(taken(path, known, cut=cut)) == 1
        assert len(taken(path, known, cut=cut)) == 0


def test_an_unchanged_file_is_not_read_at_all(tmp_path: Path) -> None:
    path, known = tmp_path / "a.log", list[FileBookmark]()
    path.write_text("one\n")
    assert Memory(known).unchanged(str(path), Cut(LIMIT, Format.lines)) is None
    taken(path, known)
    assert Memory(known).unchanged(str(path), Cut(LIMIT, Format.lines)) == known[-1]
    assert Memory(known).unchanged(str(path), Cut(LIMIT, Format.jsonl)) is None
    os.utime(path)
    assert Memory(known).unchanged(str(path), Cut(LIMIT, Format.lines)) is None


@pytest.mark.parametrize(("name", "keep"), [("a.jsonl.gz", 40), ("a.jsonl.zst", 40), ("a.parquet", 700)])
def test_a_file_that_is_cut_short_is_named_and_mended_it_goes_on(name: str, keep: int, tmp_path: Path) -> None:
    path, known = tmp_path / name, list[FileBookmark]()
    content = b"".join(b'{"text": "%d"}\n' % number for number in range(9))
    packed = {"a.jsonl.gz": gzip.compress, "a.jsonl.zst": zstandard.compress}
    if name in packed:
        path.write_bytes(packed[name](content[:60]) + packed[name](content[60:]))
        keep = len(packed[name](content[:60])) + 12
    else:
        parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    first = taken(path, known)
    assert isinstance(first[-1], Refused)
    assert first[-1].reason == "unreadable"
    assert not known[-1].whole
    path.write_bytes(whole)
    rest = taken(path, known)
    assert values(first[:-1] + rest) == values(taken(path, []))


def test_columns_become_documents(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    when = datetime(2026, 1, 2, tzinfo=UTC)
    rows = [{"body": "né", "key": 7, "when": when, "stars": 4.5, "source": None}, {"body": None, "key": 8}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    cut = Cut(LIMIT, columns=Columns("body", "key", "when", "stars"), source="shop")
    found, refused = taken(path, [], cut=cut)
    assert isinstance(found, Found)
    document = decode_raw(found.value, {k: str(v).encode() for k, v in found.headers.items()}, LIMIT)
    assert (document.text, document.id, document.source, document.label) == ("né", "7", "shop", 4.5)
    assert document.time == int(when.timestamp() * 1000)
    assert isinstance(refused, Refused)
    assert (refused.place, refused.reason) == (f"{path}[1]", "bad_field")


def test_a_column_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    for name in ("a.csv", "a.parquet"):
        FILES[name](tmp_path / name)
        known: list[FileBookmark] = []
        (item,) = taken(tmp_path / name, known, cut=Cut(LIMIT, columns=Columns("body")))
        assert isinstance(item, Refused)
        assert item.reason == "no_column"
        assert "body" in item.detail
        assert "text, id" in item.detail
        assert not known[-1].whole, "so that it is named each time"


def test_text_that_looks_like_json_is_published_so_that_nobody_parses_it(tmp_path: Path) -> None:
    for name, content in {
        "a.log": b'{"text": "x"}\n',
        "a.csv": b'text\n"{""text"": ""x""}"\n',
        "a.txt": b'{"a',
    }.items():
        (tmp_path / name).write_bytes(content)
        (item,) = taken(tmp_path / name, [])
        assert isinstance(item, Found)
        assert item.headers["content-type"] == "text/plain"
        assert item.value.startswith(b'{"')


def values(items: list[Item]) -> list[bytes]:
    return [item.value for item in items if isinstance(item, Found)]
