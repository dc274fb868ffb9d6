"""Documents out of files, directories and standard input. Nothing is sent here; memory is bounded by one document."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import BinaryIO

from headrace.contract.documents import JSON, PLAIN, decode_raw
from headrace.contract.errors import Rejected, SettingsError

STDIN = "-"
BOM = b"\xef\xbb\xbf"


class Format(StrEnum):
    """How a file is cut into documents."""

    auto = "auto"
    jsonl = "jsonl"
    lines = "lines"
    text = "text"


@dataclass(frozen=True)
class Found:
    """One document as it will be published; `place` is its file, with the line where there are several in one."""

    place: str
    value: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Refused:
    """One document that cannot be published; `reason` is a reason of the contract, or `unreadable`."""

    place: str
    reason: str
    detail: str


def files_of(names: Sequence[str]) -> list[str]:
    """The files behind the names, directories walked in sorted order without hidden entries; `-` stays.

    Raises SettingsError naming what does not exist, before anything is read.
    """
    for name in names:
        if name != STDIN and not Path(name).exists():
            raise SettingsError(f"{name} does not exist: name files, directories, or - for standard input")
    return [file for name in names for file in ([name] if not Path(name).is_dir() else _walk(name))]


def read(name: str, form: Format, limit: int, stdin: BinaryIO) -> Iterator[Found | Refused]:
    """All documents of one file; `limit` is the most bytes that one may have."""
    form = _resolve(name, form)
    if name == STDIN:
        yield from _documents(stdin, "stdin", form, limit)
        return
    try:
        with open(name, "rb") as stream:
            yield from _documents(stream, name, form, limit)
    except OSError as error:
        yield Refused(name, "unreadable", error.strerror or type(error).__name__)


def _walk(directory: str) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (str(Path(folder, name)) for name in sorted(files) if not name.startswith("."))


def _resolve(name: str, form: Format) -> Format:
    if form is not Format.auto:
        return form
    if name == STDIN:
        return Format.lines
    return Format.jsonl if Path(name).suffix.lower() in (".jsonl", ".ndjson") else Format.text


def _documents(stream: BinaryIO, name: str, form: Format, limit: int) -> Iterator[Found | Refused]:
    if form is Format.text:
        value = stream.read(limit + len(BOM) + 1).removeprefix(BOM)
        identity = {} if name == "stdin" else {"id": name}
        yield _document(name, value, {"content-type": PLAIN, **identity}, limit)
        return
    headers = {"content-type": JSON if form is Format.jsonl else PLAIN}
    for number, line in _lines(stream, limit):
        if line.strip():
            yield _document(f"{name}:{number}", line, headers, limit)


def _lines(stream: BinaryIO, limit: int) -> Iterator[tuple[int, bytes]]:
    """(number from 1, line without its end); of a line over the limit only so much that it shows."""
    most = limit + len(BOM) + 2
    for number in count(1):
        line = rest = stream.readline(most)
        if not line:
            return
        while rest and not rest.endswith(b"\n"):
            rest = stream.readline(most)
        yield number, (line.removeprefix(BOM) if number == 1 else line).rstrip(b"\r\n")


def _document(place: str, value: bytes, headers: Mapping[str, str], limit: int) -> Found | Refused:
    """Decode it as the clean job will, so that what the job must reject is named here, with its line."""
    if len(value) > limit:
        return Refused(place, "too_long", f"over {limit} bytes (clean.max_document_bytes)")
    try:
        decode_raw(value, {name: said.encode("utf-8", "replace") for name, said in headers.items()}, limit)
    except Rejected as rejected:
        return Refused(place, rejected.reason, rejected.detail)
    return Found(place, value, headers)
