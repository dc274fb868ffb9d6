"""Documents on their way: as published (`text.raw`), accepted (`text.clean`), not accepted (`text.rejected`)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast, get_args

import orjson

from headrace.contract.errors import Coordinate, RecordError, Rejected
from headrace.contract.record import Record

PLAIN = "text/plain"
HTML = "text/html"
MAIL = "message/rfc822"
JSON = "application/json"
Kind = Literal["text", "html", "mail"]
KINDS: Mapping[str, Kind] = {PLAIN: "text", HTML: "html", MAIL: "mail"}
"""What the bytes are by their content type; the text in JSON is text."""
CHARSETS = re.compile(
    r"(?:utf[-_]?(?:8|16|32)(?:[-_]?[bl]e)?|(?:us-)?ascii|(?:iso[-_]?)?8859[-_]\d\d?|latin[-_]?\d|(?:windows|cp)[-_]?\d{3,4}"
    r"|koi8[-_][rut]|mac[-_]?(?:roman|cyrillic)|big5(?:[-_]?hkscs)?|gb(?:k|2312|18030)|euc[-_](?:jp|kr)|shift[-_]?jis|sjis"
    r"|iso[-_]2022[-_](?:jp|kr)|tis[-_]620)",
    re.IGNORECASE,
)
"""Encodings of text that may be declared. Python knows more, of which some are none and some take for ever."""
UNKNOWN_SOURCE = "unknown"

REPLAY_OF = "replay-of"
"""Header of a document that is published again: the coordinate `PARTITION:OFFSET` in `text.raw` that it had before."""
DECODING_HEADERS = ("content-type", "source", "id", "time")
"""Headers of `text.raw` that decide what a value is taken for."""

EARLIEST, LATEST = -62_135_596_800_000, 253_402_300_799_999
"""Epoch milliseconds, of the years 1 to 9999."""

Stage = Literal["clean", "tokenize"]
Label = str | int | float | bool | None

REASONS: Mapping[str, str] = {
    "empty": "no value, or nothing but white space after normalising",
    "content_type": "the content-type header is none of text/plain, text/html, message/rfc822, application/json",
    "invalid_utf8": "the bytes are neither UTF-8 nor in the encoding that content-type declares",
    "bad_json": "announced or recognised as JSON, but not a JSON object",
    "bad_field": "a field of the JSON object has the wrong type; detail names it",
    "too_long": "over clean.max_document_bytes, or the encoded output is over 7 MiB",
    "duplicate": "an accepted document had the same normalised text",
    "near_duplicate": "a document shortly before had nearly the same text",
    "language": "not in an accepted language, or not sure enough; detail names it",
    "gopher_short_doc": "fewer words than the profile's min_words",
    "gopher_long_doc": "more words than the profile's max_words",
    "gopher_below_avg_threshold": "mean word length under 3 characters",
    "gopher_above_avg_threshold": "mean word length over 10 characters",
    "gopher_too_many_hashes": "more than one # in ten words",
    "gopher_too_many_ellipsis": "more than one ellipsis in ten words",
    "gopher_too_many_bullets": "more than 90 % of the lines are list items",
    "gopher_too_many_end_ellipsis": "more than 30 % of the lines end in an ellipsis",
    "gopher_below_alpha_threshold": "fewer than 80 % of the words hold a letter",
    "gopher_enough_stop_words": "fewer stop words than the profile's stop_words",
    "gopher_repetition": "says the same again: lines, paragraphs, n-grams; detail names which",
    "lorem_ipsum": "holds the placeholder text",
    "c4_curly_bracket": "a line holds {, so it is code",
    "c4_too_few_sentences": "fewer than 5 sentences stay once C4's lines are dropped",
    "fineweb_line_punct": "fewer than 12 % of the lines end in punctuation",
    "fineweb_short_lines": "more than 67 % of the lines are 30 characters or shorter",
    "fineweb_char_dup": "more than 1 % of the characters are in repeated lines",
    "fineweb_list": "more than 3 line ends in ten words",
    "refinedweb_words_removed": "more than 5 % of the words were in lines that are no text",
    "no_tokens": "the tokenizer makes no token of it",
    "bad_record": "a record of text.clean cannot be read",
    "quarantined": "it killed or stalled its worker, and twice a process of its own; detail says how",
    "internal_error": "a defect of ours; detail is the exception's class",
}
"""Every reason a document can be rejected for, with its meaning."""
DUPLICATES = ("duplicate", "near_duplicate")
"""Of these no bytes are kept: their like was accepted."""


@dataclass(frozen=True)
class RawDocument:
    """One published document after decoding, before any cleaning. `time` is in epoch milliseconds, None if not said.

    A mail's parts may be in several encodings: bytes beyond ASCII are lone surrogates, as the module email has them.
    """

    text: str
    id: str | None = None
    source: str = UNKNOWN_SOURCE
    time: int | None = None
    label: Label = None
    kind: Kind = "text"


def decode_raw(value: bytes | None, headers: Mapping[str, bytes | None], max_bytes: int) -> RawDocument:
    """Decode a record of `text.raw` by its content type.

    `application/json` must be an object with `text`, in UTF-8. What has another type is never parsed here; it is UTF-8,
    or else in the `charset` that the type declares. Without the header a value that starts with `{"` is JSON, anything
    else is text. Headers `source`, `id` and `time` count where the JSON is silent.

    Raises Rejected with one of the reasons empty, too_long, content_type, invalid_utf8, bad_json, bad_field.
    """
    if not value:
        raise Rejected("empty")
    if len(value) > max_bytes:
        raise Rejected("too_long", f"{len(value)} bytes, limit {max_bytes}")
    said = {name: _header(headers, name) for name in DECODING_HEADERS}
    kind, charset = _kind_and_charset(value, said["content-type"])
    fields = _json_fields(value) if kind is None else {"text": _decoded(value, kind, charset)}
    return RawDocument(
        text=_text(fields),
        id=_identifier(fields.get("id"), said["id"]),
        source=_source(fields.get("source"), said["source"]),
        time=_time(fields["time"] if fields.get("time") is not None else _number(said["time"])),
        label=_label(fields.get("label")),
        kind=kind or "text",
    )


def decode_as(value: bytes, charset: str) -> str | None:
    """The text in one of CHARSETS; None for another, and for bytes that are not in it."""
    if not CHARSETS.fullmatch(charset):
        return None
    try:
        return value.decode(charset)
    except (LookupError, UnicodeError):
        return None


def _header(headers: Mapping[str, bytes | None], name: str) -> str | None:
    value = headers.get(name)
    return value.decode("utf-8", "replace") if value is not None else None


def _kind_and_charset(value: bytes, content_type: str | None) -> tuple[Kind | None, str]:
    """What the bytes are, None for JSON, and the encoding that is declared; empty if none is."""
    if content_type is None:
        return (None if value.startswith(b'{"') else "text"), ""
    kind, _, parameters = content_type.lower().partition(";")
    kind = kind.strip()
    if kind != JSON and kind not in KINDS:
        raise Rejected("content_type", content_type[:100])
    _, _, charset = parameters.partition("charset=")
    return KINDS.get(kind), charset.partition(";")[0].strip(" \"'")


def _decoded(value: bytes, kind: Kind, charset: str) -> str:
    if kind == "mail":
        return value.decode("ascii", "surrogateescape")
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        if (text := decode_as(value, charset)) is not None:
            return text
        raise Rejected(
            "invalid_utf8", f"byte {error.start}" + (f", nor is it {charset[:40]}" if charset else "")
        ) from None


def _json_fields(value: bytes) -> dict[str, Any]:
    _decoded(value, "text", "")
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Rejected("bad_json", str(error)[:100]) from None
    if not isinstance(fields, dict):
        raise Rejected("bad_json", f"{type(fields).__name__}, not an object")
    return fields


def _text(fields: Mapping[str, Any]) -> str:
    text = fields.get("text")
    if not isinstance(text, str):
        raise Rejected("bad_field", f"text is {type(text).__name__}, not a string")
    if not text:
        raise Rejected("empty")
    return text


def _identifier(value: Any, header: str | None) -> str | None:
    if value is None:
        return header
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Rejected("bad_field", f"id is {type(value).__name__}, not a string or an integer")
    return str(value)


def _source(value: Any, header: str | None) -> str:
    if value is not None and not isinstance(value, str):
        raise Rejected("bad_field", f"source is {type(value).__name__}, not a string")
    return (value or header or UNKNOWN_SOURCE)[:200]


def _number(header: str | None) -> str | int | None:
    """A header is text, also where it holds a number."""
    digits = header is not None and header.isascii() and header.isdigit() and len(header) < 20
    return int(header or "") if digits else header


def _time(value: Any) -> int | None:
    """Epoch milliseconds from a number of them, or from ISO 8601 (UTC where it names no zone); EARLIEST to LATEST."""
    if value is None:
        return None
    try:
        moment = _milliseconds(value)
        if moment is not None and EARLIEST <= moment <= LATEST:
            return moment
    except (ValueError, OverflowError):
        pass
    raise Rejected("bad_field", f"time {str(value)[:50]!r} is neither epoch milliseconds nor ISO 8601")


def _milliseconds(value: Any) -> int | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        moment = datetime.fromisoformat(value)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    return None


def _label(value: Any) -> Label:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise Rejected("bad_field", f"label is {type(value).__name__}, not a string, number or truth value")


class CleanDocument(Record):
    """One record of `text.clean`. `raw` is the document's identity: its partition and offset in `text.raw`.

    The record's Kafka timestamp is the time at which the document was published. `hidden`: how many private things were
    replaced in the text, by kind.
    """

    raw: tuple[int, int]
    id: str | None
    source: str
    time: int
    language: str | None
    text: str
    label: Label
    hidden: Mapping[str, int] = {}


ORIGINAL = "original-"


def headers_to_keep(headers: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """Those of a record of `text.raw` that its record in `text.rejected` keeps."""
    wanted = {name: headers.get(name) for name in (*DECODING_HEADERS, REPLAY_OF)}
    return {name: value for name, value in wanted.items() if value is not None}


@dataclass(frozen=True)
class RejectedHeaders:
    """The headers of one record of `text.rejected`; its value is the original bytes, none for a duplicate.

    `original`: the headers of the record in `text.raw` that a replay needs once that record is deleted.
    """

    reason: str
    stage: Stage
    detail: str
    raw: tuple[int, int]
    original: Mapping[str, bytes] = field(default_factory=dict)

    def encode(self) -> dict[str, bytes]:
        """As Kafka headers."""
        return {
            "reason": self.reason.encode(),
            "stage": self.stage.encode(),
            "detail": self.detail.encode("utf-8", "replace"),
            "raw-partition": str(self.raw[0]).encode(),
            "raw-offset": str(self.raw[1]).encode(),
            **{ORIGINAL + name: value for name, value in self.original.items()},
        }

    @classmethod
    def decode(cls, headers: Sequence[tuple[str, bytes | None]] | None, at: Coordinate) -> RejectedHeaders:
        """Read the headers; raises RecordError naming `at` and the header that is missing or wrong."""
        found = {name: value.decode("utf-8", "replace") for name, value in headers or () if value is not None}
        missing = [name for name in ("reason", "stage", "raw-partition", "raw-offset") if name not in found]
        if missing:
            raise RecordError(at, f"header {missing[0]} is missing")
        stage = found["stage"]
        if stage not in get_args(Stage):
            raise RecordError(at, f"header stage is {stage!r}, not clean or tokenize")
        try:
            raw = int(found["raw-partition"]), int(found["raw-offset"])
        except ValueError as error:
            raise RecordError(at, f"header raw-partition or raw-offset: {error}") from None
        return cls(found["reason"], cast(Stage, stage), found.get("detail", ""), raw, _original(headers))


def _original(headers: Sequence[tuple[str, bytes | None]] | None) -> dict[str, bytes]:
    return {
        name.removeprefix(ORIGINAL): value
        for name, value in headers or ()
        if name.startswith(ORIGINAL) and value is not None
    }
