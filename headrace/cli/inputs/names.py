"""Which files are meant."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from headrace.contract.errors import SettingsError

STDIN = "-"


def files_of(names: Sequence[str], may_be_none: bool = False) -> list[str]:
    """The files behind the names, each once: directories walked, patterns (*, ?, [], **) expanded, in sorted order.

    Hidden entries are left out; `-`, pipes and devices stay as they are. Raises SettingsError naming what does not
    exist, before anything is read; with `may_be_none` a pattern may match nothing, and a file may come later.
    """
    found: dict[str, str] = {}
    try:
        for name in names:
            for file in _behind(name, may_be_none):
                found.setdefault(known_as(file) if file != STDIN else STDIN, file)
    except PermissionError as error:
        raise SettingsError(f"{error.filename} cannot be looked into: {error.strerror}") from None
    return list(found.values())


def known_as(path: str) -> str:
    """The path under which a file is remembered; bytes that are not UTF-8 are written as escapes."""
    absolute = os.path.abspath(path)  # noqa: PTH100 (a link is remembered under its own name)
    return os.fsencode(absolute).decode("utf-8", "backslashreplace")


def is_stream(name: str) -> bool:
    """Whether it can be read only once: standard input, a pipe, a device."""
    path = Path(name)
    return name == STDIN or (path.exists() and not path.is_file() and not path.is_dir())


def _behind(name: str, may_be_none: bool) -> Iterator[str]:
    if Path(name).is_dir():
        yield from _walk(name)
    elif name == STDIN or Path(name).exists():
        yield name
    elif glob.has_magic(name):
        matches = sorted(match for match in _matching(name) if Path(match).is_file())
        if not matches and not may_be_none:
            raise SettingsError(f"{name} matches no file: name files, directories, patterns, or - for standard input")
        yield from matches
    elif not may_be_none:
        raise SettingsError(f"{name} does not exist: name files, directories, patterns, or - for standard input")


def _not_skipped(error: OSError) -> None:
    """A folder that cannot be read hides files; one that is gone since it was listed does not."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _matching(pattern: str) -> list[str]:
    return glob.glob(pattern, recursive=True)  # noqa: PTH207 (an absolute pattern, or one with a leading ..)


def _walk(directory: str) -> Iterator[str]:
    for folder, folders, files in os.walk(directory, onerror=_not_skipped):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (str(Path(folder, name)) for name in sorted(files) if not name.startswith("."))
        yield from (path for path in paths if Path(path).is_file())
