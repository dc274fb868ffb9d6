"""Which bookmark is this file's: it is what it holds, wherever it lies and whatever it is called now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import xxhash

from headrace.cli.inputs.cursor import CHUNK, Mark
from headrace.cli.inputs.cut import Cut
from headrace.cli.inputs.names import known_as
from headrace.contract.bookmarks import FileBookmark


class Memory:
    """The newest bookmark of every file; about a kilobyte for each."""

    def __init__(self, bookmarks: Iterable[FileBookmark]) -> None:
        self._files: dict[str, FileBookmark] = {}
        self._at: dict[tuple[int, int] | str, set[str]] = defaultdict(set)
        for bookmark in bookmarks:
            self.remember(bookmark)

    def remember(self, bookmark: FileBookmark) -> None:
        """Add a bookmark, or replace the older one of the same file."""
        before = self._files.get(bookmark.file)
        for place in _places(before) if before else ():
            self._at[place].discard(bookmark.file)
        self._files[bookmark.file] = bookmark
        for place in _places(bookmark):
            self._at[place].add(bookmark.file)

    def unchanged(self, path: str, cut: Cut) -> FileBookmark | None:
        """The bookmark of a file that was taken whole and has the same inode, size and time of change since."""
        stat = Path(path).stat()
        seen = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        for bookmark in self._of(known_as(path)):
            then = (bookmark.device, bookmark.inode, bookmark.size, bookmark.modified_ns)
            if bookmark.whole and then == seen and bookmark.cut == str(cut):
                return bookmark
        return None

    def candidates(self, path: str) -> list[FileBookmark]:
        """Bookmarks that may be this file's: of its path, of its inode, and of files that lay beside it under a name
        that begins alike and are no longer there (app.log, now app.log.1 or app.log.2.gz)."""
        stat = Path(path).stat()
        own = {mark.file: mark for place in (known_as(path), (stat.st_dev, stat.st_ino)) for mark in self._of(place)}
        moved = {mark.file: mark for mark in self._of(_family(known_as(path))) if mark.position and not _there(mark)}
        return list({**moved, **own}.values())

    def _of(self, place: tuple[int, int] | str) -> Iterator[FileBookmark]:
        return (self._files[name] for name in self._at.get(place, ()))


def longest(content: BinaryIO, candidates: Sequence[FileBookmark]) -> tuple[FileBookmark, Mark] | None:
    """The bookmark with the most bytes that the content begins with, and its place. Reads from the beginning."""
    found, done, hash = None, 0, xxhash.xxh3_128()
    for bookmark in sorted(candidates, key=lambda bookmark: bookmark.position):
        while done < bookmark.position and (piece := content.read(min(CHUNK, bookmark.position - done))):
            hash.update(piece)
            done += len(piece)
        if done == bookmark.position and hash.hexdigest() == bookmark.digest:
            found = bookmark, Mark(done, bookmark.rows, hash.copy())
    return found


def hash_of(stream: BinaryIO) -> str:
    """xxh3-128 of everything from the beginning."""
    stream.seek(0)
    hash = xxhash.xxh3_128()
    while piece := stream.read(CHUNK):
        hash.update(piece)
    return hash.hexdigest()


def _places(bookmark: FileBookmark) -> tuple[tuple[int, int] | str, ...]:
    return bookmark.path, (bookmark.device, bookmark.inode), _family(bookmark.path)


def _family(path: str) -> str:
    """Files that are rotated into each other: same directory, same name up to the first dot. No path ends so."""
    return f"{Path(path).parent}/{Path(path).name.split('.')[0]}/"


def _there(bookmark: FileBookmark) -> bool:
    """Whether the file still lies where it lay, with all that was read of it."""
    try:
        stat = Path(bookmark.path).stat()
    except OSError:
        return False
    return (stat.st_dev, stat.st_ino) == (bookmark.device, bookmark.inode) and stat.st_size >= bookmark.size
