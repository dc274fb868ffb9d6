"""`headrace down`: end the stack of this data directory."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from headrace.cli.options import err, out, say, with_settings
from headrace.contract.errors import SettingsError
from headrace.contract.settings import Settings


@with_settings
def down(
    settings: Settings,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Delete all that the stack has kept, topics and weights too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
) -> None:
    """Stop the jobs with a savepoint, let the trainer save, end every process of this stack and no other.

    After the next `headrace up` the stream goes on where it stopped. `--wipe` names what it deletes and asks first.
    """
    gone = doomed(settings) if wipe else []
    if gone:
        _ask(settings, gone, yes)
    if not show_stopping(settings):
        out.print(f"nothing runs in {settings.data_dir}", soft_wrap=True)
    if wipe:
        _delete(gone)
        out.print(f"deleted {', '.join(path.name for path in gone) or 'nothing'}", soft_wrap=True)


def show_stopping(settings: Settings) -> bool:
    """End the stack, showing what is left of it; whether there was anything to end."""
    from headrace.local import stack

    ended = False
    with Live(console=err, transient=True) as live:
        for now in stack.stopping(settings):
            ended = True
            left = ", ".join(part.name for part in now.parts if part.state not in ("stopped", "waiting"))
            live.update(Text(f"ending {left}"))
    orphans = stack.clear(settings)
    if orphans:
        out.print(f"ended {orphans} processes that a killed supervisor had left behind")
    if ended:
        out.print("[green]down[/]: `headrace up` goes on from here")
    return ended or orphans > 0


def doomed(settings: Settings) -> list[Path]:
    """What `--wipe` deletes: what stacks have kept in their data directory, and nothing else there.

    Raises SettingsError for a directory in which no stack was ever started.
    """
    from headrace.local import datadir

    folder = settings.data_dir
    there = [folder / name for name in (*datadir.OURS, datadir.NAME) if (folder / name).exists()]
    if there and datadir.made(folder) is None:
        raise SettingsError(
            f"{folder} has no {datadir.NAME}, so no stack was started there: nothing is deleted."
            " Name the right one with --set local.data_dir=…, or delete by hand what you know"
        )
    return there


def _ask(settings: Settings, doomed: list[Path], yes: bool) -> None:
    """Name what will be deleted and how large it is; ends the command unless the operator agrees."""
    for path in doomed:
        say(f"  {path}  {_size(path)}")
    elsewhere = {"trainer.checkpoint_dir": settings.checkpoint_dir, "flink.state_dir": settings.flink_state_dir}
    for key, path in elsewhere.items():
        if path.exists() and not path.is_relative_to(settings.data_dir):
            say(f"  {path} ({key}) lies elsewhere and stays")
    if not yes:
        typer.confirm("End the stack and delete all this, topics, weights and logs?", abort=True)


def _delete(doomed: list[Path]) -> None:
    for path in doomed:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _size(path: Path) -> str:
    """What deleting it frees."""
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    mib = sum(file.lstat().st_blocks for file in files) * 512 / 1024**2
    return f"{mib / 1024:,.1f} GiB" if mib >= 1024 else f"{mib:,.0f} MiB"
