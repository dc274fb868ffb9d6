"""Lines of a stream, with how far they go and the hash of everything up to there."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

import xxhash

BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 20


class Mark(NamedTuple):
    """A place that a cursor can go back to."""

    position: int
    number: int
    hash: xxhash.xxh3_128


class Cursor:
    """Reads lines. Of a line over `limit` bytes only so much is kept that this shows.

    position  bytes of all lines that were read with their newline; the next read begins here
    number    lines up to here, so the number of the last one, counted from 1
    hash      xxh3-128 of the first `position` bytes
    tail      hash of a last line that was read without a newline, which lies behind `position`; else empty
    header    what the first row of a table names, once it was read

    `growing`: a line without a newline is not finished; it is not read until it is. Needs a stream that can seek.
    """

    def __init__(self, stream: BinaryIO, limit: int, growing: bool = False) -> None:
        self.position = self.number = 0
        self.hash = xxhash.xxh3_128()
        self.tail = ""
        self.header: list[str] | None = None
        self.growing = growing
        self._stream = stream
        self._most = limit + len(BOM) + 2
        self._known = ""

    def resume(self, mark: Mark, tail: str, seekable: bool) -> None:
        """Go to a mark, from the beginning. `tail`: hash of the line behind it if that was read without its newline."""
        self.position, self.number, self.hash, self._known = mark.position, mark.number, mark.hash, tail
        if seekable:
            self._stream.seek(mark.position)
            return
        left = mark.position
        while left and (piece := self._stream.read(min(CHUNK, left))):
            left -= len(piece)

    def mark(self) -> Mark:
        """Where this is, to go back to."""
        return Mark(self.position, self.number, self.hash.copy())

    def back(self, mark: Mark) -> None:
        """Return to a mark in a stream that can seek."""
        self.position, self.number, self.hash = mark
        self._stream.seek(mark.position)

    def line(self) -> bytes | None:
        """The next line without its end, or None where there is none (yet, if the stream grows)."""
        line = self._stream.readline(self._most)
        if not line:
            return None
        if not line.endswith(b"\n"):
            return self._rest_of(line)
        if self._known and self._seen_before(line[:-1]):
            return self.line()
        self._take(line)
        return self._cleaned(line)

    def _rest_of(self, line: bytes) -> bytes | None:
        """A line that is too long, or the last one, which has no newline."""
        whole, alone, size, rest = self.hash.copy(), xxhash.xxh3_128(), 0, line
        while True:
            whole.update(rest)
            alone.update(rest.removesuffix(b"\n"))
            size += len(rest)
            if rest.endswith(b"\n") or not (rest := self._stream.readline(self._most)):
                break
        if rest:
            self.position, self.hash, self.number = self.position + size, whole, self.number + 1
        elif self.growing:
            self._stream.seek(self.position)
            return None
        else:
            self.tail, self.number = alone.hexdigest(), self.number + 1
        known, self._known = self._known, ""
        if known == alone.hexdigest():
            return self.line() if rest else None
        return self._cleaned(line)

    def _seen_before(self, content: bytes) -> bool:
        """Whether it is the line that was read before it had its newline; if so it is passed over."""
        known, self._known = self._known, ""
        if known != xxhash.xxh3_128_hexdigest(content):
            return False
        self._take(content + b"\n")
        return True

    def _take(self, line: bytes) -> None:
        self.hash.update(line)
        self.position += len(line)
        self.number += 1

    def _cleaned(self, line: bytes) -> bytes:
        return (line.removeprefix(BOM) if self.number == 1 else line).rstrip(b"\r\n")
