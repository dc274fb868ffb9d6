"""The bytes of a file; gzip and zstd are recognised by their first bytes, whatever the name says."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import BinaryIO, cast

from headrace.contract.errors import DependencyError

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
PIECE = 16 * 1024
"""Compressed bytes taken at a time: what they become is held in memory, and zstd can blow up 10,000 times."""


class Damaged(Exception):
    """The content ends too early or is not what its first bytes promise."""


BROKEN: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, Damaged)
"""What reading from `opened` can raise."""


def opened(raw: io.BufferedReader) -> BinaryIO:
    """`raw` without its compression. Does not block for more than the first four bytes."""
    head = raw.peek(4)[:4]
    if head.startswith(GZIP):
        return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=raw)))
    if head.startswith(ZSTD):
        return cast(BinaryIO, io.BufferedReader(Zstd(raw), PIECE))
    return raw


def compressed(raw: io.BufferedReader) -> bool:
    """Whether `opened` would take something off."""
    return raw.peek(4)[:4].startswith((GZIP, ZSTD))


class Zstd(io.RawIOBase):
    """A stream of zstd frames; unlike the library's own reader it notices when the last one is cut off."""

    def __init__(self, raw: BinaryIO) -> None:
        try:
            import zstandard
        except ModuleNotFoundError:
            raise DependencyError(
                "zstd needs the package zstandard: `uv pip sync requirements/publisher.txt`, or unpack it: "
                "`zstd -dc FILE | headrace publish -`"
            ) from None
        self._new = zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj
        self._error = zstandard.ZstdError
        self._raw = raw
        self._frame = self._new()
        self._begun = False
        self._left = b""
        """Decompressed, not yet taken."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            piece = self._raw.read(PIECE)
            if not piece:
                if self._begun:
                    raise Damaged("ends inside a zstd frame")
                return 0
            self._left = self._decompress(piece)
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)

    def _decompress(self, piece: bytes) -> bytes:
        done = b""
        try:
            while piece:
                done += self._frame.decompress(piece)
                piece, self._begun = self._frame.unused_data, True
                if self._frame.eof:
                    self._frame, self._begun = self._new(), False
                else:
                    break
        except self._error as error:
            raise Damaged(f"zstd: {error}") from None
        return done
