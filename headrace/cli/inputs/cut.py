"""How inputs are cut into documents: formats, columns, and what comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from headrace.cli.inputs.names import STDIN
from headrace.contract.documents import HTML, JSON, MAIL, PLAIN, decode_raw
from headrace.contract.errors import Rejected


class Format(StrEnum):
    """How a file is cut into documents."""

    auto = "auto"
    text = "text"
    lines = "lines"
    jsonl = "jsonl"
    json = "json"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"


BY_SUFFIX: Mapping[str, Format] = {
    ".jsonl": Format.jsonl,
    ".ndjson": Format.jsonl,
    ".json": Format.json,
    ".csv": Format.csv,
    ".tsv": Format.tsv,
    ".tab": Format.tsv,
    ".parquet": Format.parquet,
    ".pq": Format.parquet,
    ".log": Format.lines,
}
CONTENT_TYPES: Mapping[str, str] = {".html": HTML, ".htm": HTML, ".xhtml": HTML, ".eml": MAIL}
"""Of a file that is one document, by its name; others are plain text."""
PACKED = (".gz", ".gzip", ".zst", ".zstd")
ROTATED = re.compile(r"[.-]\d[\d-]*$")
"""What a rotated log has behind its name: app.log.1, app.log-20261125."""
BY_LINE = frozenset({Format.lines, Format.jsonl, Format.csv, Format.tsv})
"""Formats that are read line by line: a file may grow, and reading goes on where it was left."""


class Found(NamedTuple):
    """One document as it will be published; `place` is its file, with the line or row where there are several."""

    place: str
    value: bytes
    headers: Mapping[str, str | bytes]


class Copied(NamedTuple):
    """A record of another topic, as it is; `place` is its coordinate there."""

    place: str
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    key: bytes | None
    partition: int
    timestamp: int


class Refused(NamedTuple):
    """What cannot be published; `reason` is a reason of the contract, or unreadable, no_column, bad_row."""

    place: str
    reason: str
    detail: str


Item = Found | Refused


@dataclass(frozen=True)
class Columns:
    """Which fields of an object or a row hold what. A field that was not named is used if it is there."""

    text: str = "text"
    id: str | None = None
    time: str | None = None
    label: str | None = None

    def names(self) -> Mapping[str, str]:
        """Field of the document → field of the input."""
        named = {"text": self.text, "id": self.id, "time": self.time, "label": self.label}
        return {field: name or field for field, name in named.items()} | {"source": "source"}

    def missing(self, there: list[str]) -> list[str]:
        """What was named, or is needed, and is not among the columns."""
        return [name for name in (self.text, self.id, self.time, self.label) if name and name not in there]

    @property
    def default(self) -> bool:
        """Whether objects can go on as they are."""
        return self == Columns()


@dataclass(frozen=True)
class Cut:
    """Everything that decides what the documents of an input are. `limit`: most bytes that one may have.

    `any_encoding`: the profile of the source guesses the encoding of text that is not UTF-8, so it need not be refused.
    """

    limit: int
    form: Format = Format.auto
    columns: Columns = Columns()
    source: str | None = None
    any_encoding: bool = False

    def of(self, name: str) -> Cut:
        """With the format of this file, where it is left to its name."""
        return replace(self, form=_by_name(name)) if self.form is Format.auto else self

    def __str__(self) -> str:
        """Remembered with a file: cut in another way, it is another input."""
        named = [f" {field}={name}" for field, name in vars(self.columns).items() if name]
        return self.form.value + ("" if self.columns.default else "".join(named))

    def headers(self, content_type: str) -> dict[str, str | bytes]:
        """The headers of every document of this input."""
        return {"content-type": content_type, **({"source": self.source} if self.source else {})}


def document(place: str, value: bytes, headers: Mapping[str, str | bytes], cut: Cut) -> Item:
    """Decode it as the clean job will, so that what the job must reject is named here, with its place."""
    if len(value) > cut.limit:
        return Refused(place, "too_long", f"over {cut.limit} bytes (clean.max_document_bytes)")
    try:
        said = {
            name: said.encode("utf-8", "replace") if isinstance(said, str) else said for name, said in headers.items()
        }
        decode_raw(value, said, cut.limit)
    except Rejected as rejected:
        if not (cut.any_encoding and rejected.reason == "invalid_utf8" and headers["content-type"] != JSON):
            return Refused(place, rejected.reason, rejected.detail)
    return Found(place, value, headers)


def from_columns(place: str, row: Mapping[str, Any], cut: Cut) -> Item:
    """The document in the columns of a row: plain text where there is nothing else, else JSON."""
    said = {field: row[name] for field, name in cut.columns.names().items() if row.get(name) is not None}
    try:
        if said.keys() == {"text"} and isinstance(said["text"], str):
            return document(place, said["text"].encode(), cut.headers(PLAIN), cut)
        value = orjson.dumps({field: _plain(value) for field, value in said.items()})
    except UnicodeEncodeError as error:
        return Refused(place, "invalid_utf8", f"character {error.start}")
    except orjson.JSONEncodeError as error:
        return Refused(place, "bad_field", str(error))
    return document(place, value, cut.headers(JSON), cut)


def from_object(place: str, value: Any, cut: Cut) -> Item:
    """The document in a parsed JSON value: an object's fields, or a string."""
    if isinstance(value, str):
        value = {cut.columns.text: value}
    if not isinstance(value, dict):
        return Refused(place, "bad_json", f"{type(value).__name__}, neither an object nor a string")
    missing = cut.columns.missing(list(value))
    if missing:
        return Refused(place, "bad_field", f"{missing[0]} is missing")
    return from_columns(place, value, cut)


def content_type(name: str) -> str:
    """What a file is that is one document."""
    return CONTENT_TYPES.get(_suffix(name), PLAIN)


def _by_name(name: str) -> Format:
    return Format.lines if name == STDIN else BY_SUFFIX.get(_suffix(name), Format.text)


def _suffix(name: str) -> str:
    """Of what is packed and rotated."""
    path = Path(name.lower())
    own = path.stem if path.suffix in PACKED else path.name
    return Path(ROTATED.sub("", own)).suffix


def _plain(value: Any) -> Any:
    """Bytes of a Parquet column that holds text without saying so."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
