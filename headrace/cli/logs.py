"""`headrace logs`: what the parts write, one readable line each."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import orjson
import typer

from headrace.cli.options import with_settings
from headrace.cli.since import moment
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings

POLL_S = 0.3
TAIL_BYTES = 8 * 1024 * 1024
"""So much of the end of a log is looked at."""
SHOWN = ("time", "level", "part", "event", "logger", "exception")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Line(NamedTuple):
    """One line: `time` is its own, or that of the last line before it which has one."""

    time: str
    name: str
    text: str


@with_settings
def logs(
    settings: Settings,
    part: Annotated[str | None, typer.Argument(help="A part, or supervisor or submit; else all.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[
        int | None, typer.Option("-n", "--lines", min=0, help="Last lines of each log; 50, with --since all.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Only later lines: 10m, 2h, 1d, or a time such as 2026-11-25T03:00.")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="The lines as they are: JSON objects.")] = False,
) -> None:
    """Show the last lines of one part's log, or of all parts, oldest first. Times are UTC."""
    files = _files(settings, part)
    after = written(moment(since, datetime.now(UTC))) if since else ""
    at = {path: path.stat().st_size for path in files}
    count = lines if lines is not None else None if since else 50
    last = [line for path in files for line in last_of(tail(path, at[path], after), count)]
    for line in sorted(last, key=lambda line: line.time):
        typer.echo(line.text if raw else readable(line.text, line.name))
    for line in new_lines(at) if follow else ():
        typer.echo(line.text if raw else readable(line.text, line.name))


def _files(settings: Settings, part: str | None) -> list[Path]:
    there = sorted((settings.data_dir / "logs").glob("*.log"))
    chosen = [path for path in there if part in (None, path.stem)]
    if not chosen:
        known = ", ".join(path.stem for path in there) or "none"
        raise SettingsError(f"no log of {part or 'any part'} in {settings.data_dir / 'logs'}; there are: {known}")
    return chosen


def written(time: datetime) -> str:
    """A time in UTC as logs write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"


def tail(path: Path, end: int, after: str = "") -> list[Line]:
    """The lines before byte `end` of a log, and of the older file beside it, that are not before `after`."""
    older = path.with_suffix(".log.1")
    size = older.stat().st_size if older.exists() else 0
    content = (_bytes(older, size) if end < TAIL_BYTES and size else b"") + _bytes(path, end)
    found, time = [], ""
    for text in lines_of(content):
        time = time_of(text) or time
        found.append(Line(time, path.stem, text))
    return [line for line in found if line.time >= after]


def lines_of(content: bytes) -> list[str]:
    """By line feeds alone: a JSON line may hold whatever else Unicode takes for an end of line."""
    return content.decode("utf-8", "replace").removesuffix("\n").split("\n") if content else []


def last_of(lines: list[Line], count: int | None) -> list[Line]:
    """The last `count` of them; None: all."""
    return lines[max(0, len(lines) - count) :] if count is not None else lines


def _bytes(path: Path, end: int) -> bytes:
    """The end of a file before byte `end`, from the beginning of a line on."""
    begin = max(0, end - TAIL_BYTES)
    with path.open("rb") as file:
        file.seek(begin)
        content = file.read(end - begin)
    return content.partition(b"\n")[2] if begin else content


def new_lines(at: dict[Path, int]) -> Iterator[Line]:
    """Whole lines behind each position as they come, for ever; a log that was set aside is followed from its start."""
    while True:
        for path in at:
            size = path.stat().st_size if path.exists() else 0
            if size < at[path]:
                at[path] = 0
            if size > at[path]:
                with path.open("rb") as file:
                    file.seek(at[path])
                    whole = file.read().rpartition(b"\n")[0]
                at[path] += len(whole) + 1 if whole else 0
                yield from (Line("", path.stem, text) for text in lines_of(whole))
        time.sleep(POLL_S)


def readable(line: str, name: str) -> str:
    """A JSON line as time, level, part, event and the other fields; any other line behind the log's name.

    Nothing in it reaches the terminal as a command: control characters are shown as \\x1b.
    """
    if (said := _parsed(line)) is None:
        return CONTROL.sub(_shown, f"{name:12} {line}")
    rest = " ".join(f"{key}={value}" for key, value in said.items() if key not in SHOWN)
    head = f"{str(said.get('time', ''))[11:23]} {said.get('level', ''):7} {said.get('part', name):12}"
    trace = f"\n{said['exception']}" if said.get("exception") else ""
    return CONTROL.sub(_shown, f"{head} {said.get('event', '')} {rest}".rstrip() + trace)


def _shown(found: re.Match[str]) -> str:
    return f"\\x{ord(found.group()):02x}"


def _parsed(line: str) -> dict[str, object] | None:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def time_of(line: str) -> str:
    """When a line was written; empty where it does not say."""
    said = _parsed(line)
    return str(said.get("time", "")) if said else ""
