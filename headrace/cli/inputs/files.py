"""One file that can be left and gone on with."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO
from uuid import uuid4

from headrace.cli.inputs.content import BROKEN, compressed, opened
from headrace.cli.inputs.cursor import Cursor
from headrace.cli.inputs.cut import BY_LINE, Cut, Format, Item, Refused
from headrace.cli.inputs.memory import hash_of, longest
from headrace.cli.inputs.names import STDIN, is_stream, known_as
from headrace.cli.inputs.rows import JSON_BYTES, by_line, json_values, parquet_rows, take_header, whole_text
from headrace.contract.bookmarks import FileBookmark

HEAD_BYTES = 1024
"""By so many first bytes a file that was cut off and has grown again is told from one that only grew."""


def read_stream(name: str, cut: Cut, stream: BinaryIO) -> Iterator[Item]:
    """All documents of something that is read once: standard input, a pipe. gzip and zstd are taken off."""
    cut, name = cut.of(name), "stdin" if name == STDIN else name
    try:
        content = opened(stream)  # type: ignore[arg-type]
        if cut.form in BY_LINE:
            yield from by_line(Cursor(content, cut.limit), name, cut)
        elif cut.form is Format.text:
            yield from whole_text(content.read(cut.limit + 4), name, cut)
        elif cut.form is Format.json:
            yield from json_values(content.read(JSON_BYTES + 1), name, cut)
        else:
            yield Refused(name, "unreadable", "Parquet is read from its end: save it as a file")
    except BROKEN as error:
        yield Refused(name, "unreadable", _said(error))


def read(name: str, cut: Cut) -> Iterator[Item]:
    """All documents of a file, or of standard input or a pipe, from the beginning; nothing is remembered."""
    if name == STDIN:
        yield from read_stream(name, cut, sys.stdin.buffer)
        return
    try:
        if is_stream(name):
            with open(name, "rb") as stream:
                yield from read_stream(name, cut, stream)
            return
        with InputFile(name, cut.of(name)) as file:
            yield from file.items()
    except OSError as error:
        yield Refused(name, "unreadable", _said(error))


class InputFile:
    """An open file, and how far its documents were taken. A context manager.

    `items` yields what is behind that; `bookmark` says it, and stands behind the last item that was yielded.
    `growing`: only finished lines are documents, and `items` may be asked again when there are more of them.
    Raises OSError when the file cannot be opened.
    """

    def __init__(self, path: str, cut: Cut, growing: bool = False) -> None:
        self.path, self.cut = path, cut
        self._raw = open(path, "rb")  # noqa: SIM115 (closed by close)
        self.packed = compressed(self._raw)
        self.by_line = cut.form in BY_LINE
        self.growing = growing and self.by_line and not self.packed
        self.stat = os.fstat(self._raw.fileno())
        self.name = uuid4().hex[:16]
        self.documents = self.refused = 0
        """Taken so far, by earlier runs as well."""
        self.whole = False
        """Whether all of it was taken, as it was when `items` began."""
        self._row = 0
        self._digest = ""
        self._head = b""
        self._cursor = self._new_cursor()

    def __enter__(self) -> InputFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it; a bookmark can still be asked for."""
        self._raw.close()

    def recognise(self, candidates: Sequence[FileBookmark]) -> FileBookmark | None:
        """Go on where the best fitting bookmark says; None if none fits. Reads what was read before once more."""
        fitting = [bookmark for bookmark in candidates if bookmark.cut == str(self.cut)]
        if not fitting:
            return None
        known = self._resume(fitting) if self.by_line else self._resume_whole(fitting)
        if known is not None:
            self.name, self.documents, self.refused = known.file, known.documents, known.refused
        return known

    def items(self) -> Iterator[Item]:
        """What has not been taken yet; an error while reading comes as Refused (unreadable)."""
        self.stat, self.whole = os.fstat(self._raw.fileno()), False
        mended = True
        try:
            for item in self._rows():
                if isinstance(item, Refused):
                    self.refused += 1
                    mended = mended and item.place != self.path
                else:
                    self.documents += 1
                yield item
        except BROKEN as error:
            mended = False
            self.refused += 1
            at = self._cursor.number if self.by_line else self._row
            yield Refused(f"{self.path}:{at + 1}" if at else self.path, "unreadable", _said(error))
        self._head = self._first_bytes()
        self.whole = mended and not (self.growing and self._cursor.position < self.stat.st_size)

    def bookmark(self, into: str) -> FileBookmark:
        """Everything before this was taken, into the topic with the id `into`."""
        cursor, stat = self._cursor, self.stat
        return FileBookmark(
            into=into,
            file=self.name,
            path=known_as(self.path),
            device=stat.st_dev,
            inode=stat.st_ino,
            size=stat.st_size,
            modified_ns=stat.st_mtime_ns,
            cut=str(self.cut),
            position=cursor.position if self.by_line else self._row,
            rows=cursor.number - bool(cursor.tail) if self.by_line else self._row,
            digest=cursor.hash.hexdigest() if self.by_line else self._digest,
            tail=cursor.tail,
            documents=self.documents,
            refused=self.refused,
            whole=self.whole,
        )

    @property
    def taken_bytes(self) -> int:
        """How far into the file it has been read, compressed as it is: for a progress bar."""
        return 0 if self._raw.closed else self._raw.tell()

    def cut_off(self) -> bool:
        """Whether it was cut shorter than it had been read, or begins otherwise now."""
        return os.fstat(self._raw.fileno()).st_size < self._cursor.position or self._first_bytes() != self._head

    def finish(self) -> None:
        """It grows no more: what stands behind the last newline is a document as well."""
        self.growing = self._cursor.growing = False

    def _first_bytes(self) -> bytes:
        return os.pread(self._raw.fileno(), min(HEAD_BYTES, self._cursor.position), 0)

    def _new_cursor(self) -> Cursor:
        self._raw.seek(0)
        return Cursor(opened(self._raw), self.cut.limit, self.growing)

    def _resume(self, candidates: Sequence[FileBookmark]) -> FileBookmark | None:
        found = longest(opened(self._raw), candidates)
        self._cursor = cursor = self._new_cursor()
        if found is None:
            return None
        known, mark = found
        if self.cut.form in (Format.csv, Format.tsv) and mark.position:
            take_header(cursor, self.path, self.cut)
            self._cursor = self._new_cursor()
            self._cursor.header = cursor.header
        self._cursor.resume(mark, known.tail, seekable=not self.packed)
        return known

    def _resume_whole(self, candidates: Sequence[FileBookmark]) -> FileBookmark | None:
        self._digest = hash_of(self._raw)
        known = next((bookmark for bookmark in candidates if bookmark.digest == self._digest), None)
        if known is not None:
            self._row = known.position
        return known

    def _rows(self) -> Iterator[Item]:
        if self.by_line:
            yield from by_line(self._cursor, self.path, self.cut)
            return
        self._digest = self._digest or hash_of(self._raw)
        self._raw.seek(0)
        for item in self._behind(self._row):
            self._row += 1
            yield item

    def _behind(self, start: int) -> Iterator[Item]:
        content = opened(self._raw)
        if self.cut.form is Format.parquet:
            return parquet_rows(content, self.path, self.cut, start)
        if self.cut.form is Format.json:
            return islice(json_values(content.read(JSON_BYTES + 1), self.path, self.cut), start, None)
        return islice(whole_text(content.read(self.cut.limit + 4), self.path, self.cut), start, None)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
