"""Reading documents out of files: what is found, what is refused, and where it says so."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from headrace.cli.inputs.cut import Cut, Format, Found, Refused
from headrace.cli.inputs.files import read, read_stream
from headrace.cli.inputs.names import files_of
from headrace.contract.cleaning import Clean
from headrace.contract.documents import decode_raw
from headrace.contract.errors import SettingsError

LIMIT = 100


def documents(content: bytes, form: Format) -> list[Found | Refused]:
    return list(read_stream("-", Cut(LIMIT, form), io.BufferedReader(io.BytesIO(content))))


def texts(items: list[Found | Refused]) -> list[str]:
    return [text_of(item) for item in items if isinstance(item, Found)]


def text_of(item: Found) -> str:
    headers = {name: said.encode() if isinstance(said, str) else said for name, said in item.headers.items()}
    return decode_raw(item.value, headers, LIMIT).text


def refusals(items: list[Found | Refused]) -> list[tuple[str, str]]:
    return [(item.place, item.reason) for item in items if isinstance(item, Refused)]


def test_lines_are_documents_and_blank_ones_are_not() -> None:
    assert texts(documents(b"one\r\n\n  \ntwo", Format.lines)) == ["one", "two"]


def test_standard_input_is_lines_by_default() -> None:
    assert texts(documents(b'{"text": "not parsed"}\n', Format.auto)) == ['{"text": "not parsed"}']


def test_a_whole_text_is_one_document() -> None:
    assert texts(documents(b"one\ntwo\n", Format.text)) == ["one\ntwo\n"]


def test_text_need_not_be_utf_8_where_the_profile_guesses() -> None:
    latin = "grüner Tee\n".encode("latin-1")
    assert refusals(documents(latin, Format.text)) == [("stdin", "invalid_utf8")]
    for form, refused in {Format.text: [], Format.lines: [], Format.jsonl: [("stdin:1", "invalid_utf8")]}.items():
        cut = Cut(LIMIT, form, any_encoding=True)
        assert refusals(list(read_stream("-", cut, io.BufferedReader(io.BytesIO(latin))))) == refused
    profiled = Clean(sources="mails*=mail", profile="chat")
    assert [profiled.guesses_encoding_of(source) for source in ("mails-1", "other", None)] == [True, False, False]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.html", "text/html"), ("a.HTM.gz", "text/html"), ("a.eml", "message/rfc822"), ("a.md", "text/plain")],
)
def test_a_page_and_a_mail_are_known_by_their_names(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("To: x\n\n<p>some words")
    (found,) = read(str(tmp_path / name), Cut(LIMIT))
    assert isinstance(found, Found)
    assert found.headers["content-type"] == kind


def test_jsonl_goes_on_as_it_is_and_names_what_it_refuses() -> None:
    good = b'{"text": "a", "source": "s", "meta": {"k": [1]}}'
    bad = [b'{"text": "a"', b"[1]", b'{"text": 1}', b'{"no": 1}', b'{"text": ""}', b'{"text": "\xff"}']
    items = documents(b"\n".join([good, *bad, good]), Format.jsonl)
    assert [item.value for item in items if isinstance(item, Found)] == [good, good]
    assert refusals(items) == [
        ("stdin:2", "bad_json"),
        ("stdin:3", "bad_json"),
        ("stdin:4", "bad_field"),
        ("stdin:5", "bad_field"),
        ("stdin:6", "empty"),
        ("stdin:7", "invalid_utf8"),
    ]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("form", [Format.lines, Format.text])
def test_the_limit_is_exact(form: Format, end: bytes) -> None:
    end = b"" if form is Format.text else end
    assert refusals(documents(b"x" * LIMIT + end, form)) == []
    place = "stdin" if form is Format.text else "stdin:1"
    assert refusals(documents(b"x" * (LIMIT + 1) + end, form)) == [(place, "too_long")]


def test_a_time_of_very_many_digits_is_a_bad_field() -> None:
    content = b"text,time\na,%s\nb,1600000000000\n" % (b"9" * 5000)
    items = list(read_stream("-", Cut(10_000, Format.csv), io.BufferedReader(io.BytesIO(content))))
    assert refusals(items) == [("stdin:2", "bad_field")]
    assert texts(items) == ["b"]


def test_after_a_line_that_is_far_too_long_the_numbers_still_hold() -> None:
    items = documents(b"a\n" + b"x" * 1000 + b"\nb\n\xff\n", Format.lines)
    assert texts(items) == ["a", "b"]
    assert refusals(items) == [("stdin:2", "too_long"), ("stdin:4", "invalid_utf8")]


def test_a_byte_order_mark_is_no_text() -> None:
    assert texts(documents(b'\xef\xbb\xbf{"text": "a"}\n', Format.jsonl)) == ["a"]
    assert texts(documents(b"\xef\xbb\xbfa", Format.text)) == ["a"]


def test_files_are_found_in_order_and_named(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / ".hidden").mkdir()
    for name, content in {"c.txt": b"c", "a.JSONL": b'{"text": "a"}', "b/x.md": b"\xff", ".hidden/y": b"y"}.items():
        (tmp_path / name).write_bytes(content)
    files = files_of([str(tmp_path), "-", str(tmp_path / "c.txt")])
    assert files == [str(tmp_path / name) for name in ("a.JSONL", "c.txt", "b/x.md")] + ["-"]
    items = [item for file in files[:-1] for item in read(file, Cut(LIMIT))]
    assert texts(items) == ["a", "c"]
    assert refusals(items) == [(str(tmp_path / "b/x.md"), "invalid_utf8")]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("app.log", Format.lines),
        ("app.LOG.1", Format.lines),
        ("app.log-20261125.gz", Format.lines),
        ("news.2026-11-25.jsonl.zst", Format.jsonl),
        ("part-0001.parquet", Format.parquet),
        ("a.tsv", Format.tsv),
        ("chapter.1", Format.text),
        ("README", Format.text),
        ("-", Format.lines),
    ],
)
def test_the_name_says_the_format(name: str, form: Format) -> None:
    assert Cut(LIMIT).of(name).form is form
    assert Cut(LIMIT, Format.csv).of(name).form is Format.csv


def test_a_text_file_has_its_path_as_identifier(tmp_path: Path) -> None:
    file = tmp_path / "größe.txt"
    file.write_text("text")
    (item,) = read(str(file), Cut(LIMIT))
    assert isinstance(item, Found)
    assert item.headers["id"] == str(file).encode()


def test_an_empty_file_and_one_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    items = [item for name in ("empty", "gone") for item in read(str(tmp_path / name), Cut(LIMIT, Format.text))]
    assert refusals(items) == [(str(tmp_path / "empty"), "empty"), (str(tmp_path / "gone"), "unreadable")]


def test_patterns_are_expanded_and_one_without_a_match_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("in/a.jsonl", "in/b.txt", "in/deep/c.jsonl", "in/.hidden.jsonl"):
        (tmp_path / name).touch()
    assert files_of([f"{tmp_path}/**/*.jsonl"]) == [f"{tmp_path}/in/a.jsonl", f"{tmp_path}/in/deep/c.jsonl"]
    assert files_of([f"{tmp_path}/*/[ab].*", f"{tmp_path}/in"])[:2] == [
        f"{tmp_path}/in/a.jsonl",
        f"{tmp_path}/in/b.txt",
    ]
    with pytest.raises(SettingsError, match="matches no file"):
        files_of([f"{tmp_path}/*.csv"])
    assert files_of([f"{tmp_path}/*.csv", f"{tmp_path}/later.log"], may_be_none=True) == []


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_pipe_may_be_packed(pack: Callable[[bytes], bytes]) -> None:
    assert texts(documents(pack(b"one\n") + pack(b"two\n"), Format.auto)) == ["one", "two"]
    assert refusals(documents(pack(b"one\n" * 50)[:-3], Format.lines))[-1][1] == "unreadable"


def test_a_name_that_does_not_exist_is_an_error_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="nothing-here"):
        files_of([str(tmp_path), str(tmp_path / "nothing-here")])


def test_a_folder_that_cannot_be_looked_into_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def closed(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(SettingsError, match="closed cannot be looked into: Permission denied"):
        files_of([str(tmp_path)])
