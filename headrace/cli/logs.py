"""`headrace logs`: what the parts write, one readable line each."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import orjson
import typer

from headrace.cli.options import with_settings
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings

POLL_S = 0.3
TAIL_BYTES = 1024 * 1024
SHOWN = ("time", "level", "part", "event", "logger", "exception")


@with_settings
def logs(
    settings: Settings,
    part: Annotated[str | None, typer.Argument(help="A part, or supervisor or submit; else all.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with new lines until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Last lines of each log.")] = 50,
    raw: Annotated[bool, typer.Option("--raw", help="The lines as they are: JSON objects.")] = False,
) -> None:
    """Show the last lines of one part's log, or of all, oldest first."""
    files = _files(settings, part)
    last = [(line, path) for path in files for line in tail(path, lines)]
    for line, path in sorted(last, key=lambda pair: _time(pair[0])):
        typer.echo(line if raw else readable(line, path.stem))
    for line, path in _new_lines(files) if follow else ():
        typer.echo(line if raw else readable(line, path.stem))


def _files(settings: Settings, part: str | None) -> list[Path]:
    there = sorted((settings.data_dir / "logs").glob("*.log"))
    chosen = [path for path in there if part in (None, path.stem)]
    if not chosen:
        known = ", ".join(path.stem for path in there) or "none"
        raise SettingsError(f"no log of {part or 'any part'} in {settings.data_dir / 'logs'}; there are: {known}")
    return chosen


def tail(path: Path, count: int) -> list[str]:
    """The last lines of a file, at most of its last MiB."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read().decode("utf-8", "replace").splitlines()[-count:] if count else []


def _new_lines(files: list[Path]) -> Iterator[tuple[str, Path]]:
    """Whole lines as they come, for ever; a log that was set aside is followed in its new file."""
    at = {path: path.stat().st_size for path in files}
    while True:
        for path in files:
            size = path.stat().st_size if path.exists() else 0
            if size < at[path]:
                at[path] = 0
            if size > at[path]:
                with path.open("rb") as file:
                    file.seek(at[path])
                    whole = file.read().rpartition(b"\n")[0]
                at[path] += len(whole) + 1 if whole else 0
                yield from ((line, path) for line in whole.decode("utf-8", "replace").splitlines())
        time.sleep(POLL_S)


def readable(line: str, name: str) -> str:
    """A JSON line as time, level, part, event and the other fields; any other line behind the log's name."""
    if (said := _parsed(line)) is None:
        return f"{name:12} {line}"
    rest = " ".join(f"{key}={value}" for key, value in said.items() if key not in SHOWN)
    head = f"{str(said.get('time', ''))[11:23]} {said.get('level', ''):7} {said.get('part', name):12}"
    trace = f"\n{said['exception']}" if said.get("exception") else ""
    return f"{head} {said.get('event', '')} {rest}".rstrip() + trace


def _parsed(line: str) -> dict[str, object] | None:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) else None


def _time(line: str) -> str:
    said = _parsed(line)
    return str(said.get("time", "")) if said else ""
