"""`headrace down`: end the stack of this data directory."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from headrace.cli.options import err, out, with_settings
from headrace.contract.settings import Settings

OURS = ("kafka", "flink", "checkpoints", "logs", "run")
"""What a stack keeps in its data directory."""


@with_settings
def down(
    settings: Settings,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Delete all that the stack has kept, topics and weights too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
) -> None:
    """Stop the jobs with a savepoint, let the trainer save, end every process of this stack and no other.

    After the next `headrace up` the stream goes on where it stopped.
    """
    if not show_stopping(settings):
        out.print(f"nothing runs in {settings.data_dir}", soft_wrap=True)
    if wipe:
        _wipe(settings, yes)


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


def _wipe(settings: Settings, yes: bool) -> None:
    there = [settings.data_dir / name for name in OURS if (settings.data_dir / name).exists()]
    if not there:
        out.print("nothing to delete")
        return
    if not yes:
        typer.confirm(f"delete {', '.join(map(str, there))}?", abort=True)
    for folder in there:
        shutil.rmtree(folder)
    out.print(f"deleted {len(there)} folders in {settings.data_dir}", soft_wrap=True)
