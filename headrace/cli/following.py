"""Files that grow, appear, are renamed, replaced or cut off: what `headrace publish --follow` looks at."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from headrace.cli.inputs.cut import Cut, Format, Refused
from headrace.cli.inputs.files import InputFile
from headrace.cli.inputs.memory import Memory
from headrace.cli.inputs.names import files_of

SETTLED_S = 2.0
"""A file that is taken as a whole is taken when it was not changed for so long."""
GONE_S = 5.0
"""A file that was renamed out of sight or deleted is read on for so long: its writer may still have it open."""

Identity = tuple[int, int]


class Followed:
    """The files behind some names, as they come and grow. A file is its device and inode, whatever it is called.

    Files that are read by line stay open, so that one that is renamed or deleted is read to its end; as many can be
    followed as the process may have open. The others are taken as a whole, and again when they are changed.
    """

    def __init__(
        self,
        names: Sequence[str],
        cut: Cut,
        memory: Memory,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.names, self.cut, self.memory, self.say, self.clock = names, cut, memory, say, clock
        self._open: dict[Identity, InputFile] = {}
        self._seen: dict[Identity, tuple[int, int]] = {}
        self._at: dict[str, Identity] = {}
        self._gone_since: dict[Identity, float] = {}

    def look(self) -> Iterator[InputFile | Refused]:
        """Every file that holds something new. Take all of it before asking for the next."""
        there = set()
        for path in files_of(self.names, may_be_none=True):
            try:
                stat = Path(path).stat()
            except FileNotFoundError:
                continue  # since it was listed
            there.add((stat.st_dev, stat.st_ino))
            try:
                yield from self._news(path, stat)
            except FileNotFoundError:
                continue
            except OSError as error:
                if self._seen.get((stat.st_dev, stat.st_ino)) != _state(stat):
                    self._seen[stat.st_dev, stat.st_ino] = _state(stat)
                    yield Refused(path, "unreadable", error.strerror or type(error).__name__)
        for identity in self._open.keys() - there:
            yield from self._gone(identity)

    @property
    def files(self) -> int:
        """Files seen so far."""
        return len(self._seen)

    def close(self) -> None:
        """Close what is open."""
        for file in self._open.values():
            file.close()

    def _news(self, path: str, stat: os.stat_result) -> Iterator[InputFile]:
        identity, state = (stat.st_dev, stat.st_ino), _state(stat)
        file = self._open.get(identity)
        self._gone_since.pop(identity, None)
        if file is not None and file.path != path:
            self.say(f"{file.path} was renamed to {path}: gone on with there")
            file.path = path
        if self._at.setdefault(path, identity) != identity:
            self.say(f"{path} is another file now: read from its beginning, the older one to its end")
            self._at[path] = identity
        if self._seen.get(identity) == state:
            return
        if file is None:
            yield from self._new(path, identity, stat)
            return
        if file.cut_off():
            self.say(f"{path} was cut off, it has {stat.st_size:,} bytes now: read from its beginning")
            file.close()
            file = self._open[identity] = InputFile(path, file.cut, growing=True)
        self._seen[identity] = state
        yield file

    def _new(self, path: str, identity: Identity, stat: os.stat_result) -> Iterator[InputFile]:
        """A file that is not open: it appeared, or it is taken as a whole and was changed."""
        cut = self._cut_of(path)
        file = InputFile(path, cut, growing=True)
        if file.growing:
            self._open[identity] = file
            self._seen[identity] = _state(stat)
            file.recognise(self.memory.candidates(path))
            yield file
            return
        with file:
            if stat.st_mtime > self.clock() - SETTLED_S:
                return
            self._seen[identity] = _state(stat)
            if self.memory.unchanged(path, cut) is None:
                file.recognise(self.memory.candidates(path))
                yield file

    def _gone(self, identity: Identity) -> Iterator[InputFile]:
        """A file that lies nowhere where we look any more: read on for a moment, then finished."""
        file = self._open[identity]
        since = self._gone_since.setdefault(identity, self.clock())
        if self.clock() - since >= GONE_S:
            file.finish()
            del self._open[identity], self._gone_since[identity]
        yield file
        if not file.growing:
            file.close()

    def _cut_of(self, path: str) -> Cut:
        """As without --follow, but a text file that was named itself, not its directory, is read by line."""
        cut = self.cut.of(path)
        in_folder = any(Path(path).is_relative_to(name) for name in self.names if Path(name).is_dir())
        by_line = self.cut.form is Format.auto and cut.form is Format.text and not in_folder
        return replace(cut, form=Format.lines) if by_line else cut


def _state(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_size, stat.st_mtime_ns
