"""The documents of each format."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import orjson

from headrace.cli.inputs.content import Damaged
from headrace.cli.inputs.cursor import BOM, Cursor
from headrace.cli.inputs.cut import Cut, Format, Item, Refused, content_type, document, from_columns, from_object
from headrace.contract.documents import JSON, PLAIN
from headrace.contract.errors import DependencyError

JSON_BYTES = 512 * 1024 * 1024
"""A JSON file is parsed as a whole, so it has a limit; JSON lines have none."""


def by_line(cursor: Cursor, name: str, cut: Cut) -> Iterator[Item]:
    """The documents behind the cursor, which stands behind the last one yielded. May be asked again for more."""
    if cut.form in (Format.csv, Format.tsv):
        return table(cursor, name, cut)
    return lines(cursor, name, cut) if cut.form is Format.lines or cut.columns.default else objects(cursor, name, cut)


def lines(cursor: Cursor, name: str, cut: Cut) -> Iterator[Item]:
    """One document a line, as it stands there: text, or an object that is published as it is. Blank lines are none."""
    headers = cut.headers(PLAIN if cut.form is Format.lines else JSON)
    while (line := cursor.line()) is not None:
        if line and not line.isspace():
            yield document(f"{name}:{cursor.number}", line, headers, cut)


def objects(cursor: Cursor, name: str, cut: Cut) -> Iterator[Item]:
    """One JSON object a line, with fields called otherwise than ours."""
    while (line := cursor.line()) is not None:
        if not line or line.isspace():
            continue
        place = f"{name}:{cursor.number}"
        if len(line) > cut.limit:
            yield Refused(place, "too_long", f"over {cut.limit} bytes (clean.max_document_bytes)")
            continue
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Refused(place, "bad_json", str(error)[:100])
            continue
        yield from_object(place, value, cut)


class Fed:
    """The cursor's lines as the csv module wants them: text with line ends; may go on after it was at an end."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor

    def __iter__(self) -> Fed:
        return self

    def __next__(self) -> str:
        if (line := self.cursor.line()) is None:
            raise StopIteration
        return line.decode("utf-8", "surrogateescape") + "\n"


def table(cursor: Cursor, name: str, cut: Cut) -> Iterator[Item]:
    """The rows of a CSV or TSV file, of which the first line names the columns. A field may hold line ends."""
    header = cursor.header or take_header(cursor, name, cut)
    if header is None:
        return
    if missing := cut.columns.missing(header):
        yield no_column(name, missing, header)
        return
    for row in _rows(cursor, name, cut):
        place = f"{name}:{cursor.number}"
        if isinstance(row, Refused):
            yield row
        elif len(row) != len(header):
            yield Refused(place, "bad_row", f"{len(row)} fields, the first line names {len(header)}")
        else:
            yield from_columns(
                place, {column: _cell(cut, column, cell) for column, cell in zip(header, row, strict=True)}, cut
            )


def take_header(cursor: Cursor, name: str, cut: Cut) -> list[str] | None:
    """Read the names of the columns; None where the file is empty (yet). Raises Damaged for what is no table."""
    row = next(_rows(cursor, name, cut), None)
    if isinstance(row, Refused):
        raise Damaged(f"the first line, which names the columns: {row.detail}")
    cursor.header = row
    return row


def _rows(cursor: Cursor, name: str, cut: Cut) -> Iterator[list[str] | Refused]:
    """Rows that are not blank. One that is cut off by the end of a growing file is left for later."""
    csv.field_size_limit(max(csv.field_size_limit(), cut.limit + 1))
    reader = csv.reader(Fed(cursor), delimiter="\t" if cut.form is Format.tsv else ",", strict=True)
    while True:
        before = cursor.mark() if cursor.growing else None
        number = cursor.number + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if before is not None and "unexpected end" in str(error):
                cursor.back(before)
                return
            yield Refused(f"{name}:{number}", "bad_row", f"{error}, lines {number} to {cursor.number}")
            continue
        if row:
            yield row


def _cell(cut: Cut, column: str, cell: str) -> str | int | None:
    """A cell of a table is text; an empty one says nothing, and a time may be a number."""
    if column == cut.columns.names()["time"] and cell.isascii() and cell.isdigit() and len(cell) < 20:
        return int(cell)
    return cell or ("" if column == cut.columns.text else None)


def whole_text(content: bytes, name: str, cut: Cut) -> Iterator[Item]:
    """One document, with the file as its id; `content` may be cut off above the limit."""
    headers = cut.headers(content_type(name))
    if name != "stdin":
        headers["id"] = name.encode("utf-8", "replace")
    yield document(name, content.removeprefix(BOM), headers, cut)


def json_values(content: bytes, name: str, cut: Cut) -> Iterator[Item]:
    """One object, or an array of objects and strings."""
    if len(content) > JSON_BYTES:
        yield Refused(name, "unreadable", f"over {JSON_BYTES} bytes: make JSON lines of it, `jq -c '.[]'`")
        return
    try:
        value = orjson.loads(content.removeprefix(BOM))
    except orjson.JSONDecodeError as error:
        hint = "; one object a line is --format jsonl" if content.count(b"\n{") else ""
        yield Refused(name, "bad_json", f"{str(error)[:100]}{hint}")
        return
    values = value if isinstance(value, list) else [value]
    yield from (from_object(f"{name}[{number}]", value, cut) for number, value in enumerate(values))


def parquet_rows(stream: BinaryIO, name: str, cut: Cut, start: int) -> Iterator[Item]:
    """The rows of a Parquet file from row `start`; only the columns that are wanted are read, a row group at a time."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        raise DependencyError(
            "Parquet needs the package pyarrow, which requirements/publisher.txt leaves out for its size:"
            " `uv pip sync requirements/parquet.txt`"
        ) from None
    try:
        file = pyarrow.parquet.ParquetFile(stream)
        columns = file.schema_arrow.names
        if missing := cut.columns.missing(columns):
            yield no_column(name, missing, columns)
            return
        wanted = [column for column in cut.columns.names().values() if column in columns]
        for number, row in _table_rows(file, wanted, start):
            yield from_columns(f"{name}[{number}]", row, cut)
    except (pyarrow.ArrowException, OSError) as error:
        yield Refused(name, "unreadable", f"{type(error).__name__}: {str(error)[:200]}")


def _table_rows(file: Any, columns: list[str], start: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    first = 0
    for group in range(file.num_row_groups):
        after = first + file.metadata.row_group(group).num_rows
        if after > start:
            batches: Iterable[Any] = file.iter_batches(1000, row_groups=[group], columns=columns)
            number = first
            for batch in batches:
                for row in batch.to_pylist():
                    if number >= start:
                        yield number, row
                    number += 1
        first = after


def no_column(name: str, missing: list[str], there: list[str]) -> Refused:
    """A column that was named, or `text`, is not there."""
    return Refused(
        name, "no_column", f"there is no column {missing[0]}; there are {', '.join(there)[:300]} (see --text-field)"
    )
