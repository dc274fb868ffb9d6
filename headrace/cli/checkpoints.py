"""`headrace checkpoints`: what a run has saved, and what it is to keep."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import OfRun, of_run, out, say, with_settings
from headrace.cli.screen import duration
from headrace.contract.settings import Settings

if TYPE_CHECKING:
    from headrace.runs import Shelved

app = typer.Typer(name="checkpoints", help="Checkpoints of a run.", no_args_is_help=True)
Step = Annotated[int, typer.Argument(metavar="STEP", help="As `headrace checkpoints list` shows it.")]
Note = Annotated[str, typer.Option("--note", help="What it is kept for, for example reference.")]


@app.command("list")
@with_settings
def list_checkpoints(
    settings: Settings,
    run: OfRun = None,
    hashes: Annotated[bool, typer.Option("--verify", help="Read every byte and compare it with its sha256.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show every checkpoint with weights: step, tokens, age, size, and why it is kept; torn ones are marked.

    last: it is one of the newest (trainer.keep_checkpoints). every: the first of a stretch (trainer.keep_every_steps).
    pinned: an operator wants it. One that shows none of these goes at the next save.
    """
    from headrace.runs import shelf

    settings = of_run(settings, run)
    found = shelf(settings, hashes)
    if json:
        typer.echo(orjson.dumps([_as_json(one) for one in found], option=orjson.OPT_INDENT_2).decode())
        return
    folder = settings.checkpoint_dir / settings.trainer.run
    if not found:
        say(f"no checkpoint in {folder}: `headrace runs list` shows all runs")
        return
    table = Table("step", "tokens", "age", "size", "kept", "note", box=None, header_style="bold")
    for one in found:
        table.add_row(*_row(one, time.time()))
    out.print(table)
    history = len(list((folder / "history").glob("step-*.json")))
    say(f"{folder}: {len(found)} with weights, {history} pruned to their manifest")


@app.command()
@with_settings
def save(
    settings: Settings,
    run: OfRun = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until it is on the disk.")] = False,
    pin: Annotated[bool, typer.Option("--pin", help="Wait for it, and never let it be pruned.")] = False,
    note: Note = "",
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", help="Give up waiting after this.")] = 60.0,
) -> None:
    """Ask the run to save what it has trained, behind the step in hand. To ask twice is to ask once.

    A run that stands still and was saved already has nothing to do, and the checkpoint that is there is named.
    """
    from headrace import checkpoints
    from headrace.control import command, wait_for_checkpoint
    from headrace.kafka import Cluster
    from headrace.runs import known_run, last_report, next_step

    name, cluster = known_run(settings, run, time.time()), Cluster(settings)
    before = last_report(cluster, name)
    asked = command(settings, name, "checkpoint", time.time())
    if not (wait or pin):
        where = f"it is at step {next_step(before)}" if before else "it has reported nothing yet"
        out.print(f"run {name} is asked to save; {where}: see `headrace checkpoints list`, or add --wait")
        return
    saved = wait_for_checkpoint(cluster, asked, before, timeout)
    if pin:
        checkpoints.pin(settings.checkpoint_dir / name, saved.step, note)
    what = f"{saved.step}{', pinned' if pin else ''}: {_size(saved.bytes)} in {saved.path}"
    say(f"run {name} is saved up to step {what}")


@app.command()
@with_settings
def pin(settings: Settings, step: Step, run: OfRun = None, note: Note = "") -> None:
    """Keep a checkpoint with its weights until it is unpinned. It holds back `headrace retention`."""
    from headrace import checkpoints

    settings = of_run(settings, run)
    checkpoints.pin(settings.checkpoint_dir / settings.trainer.run, step, note)
    out.print(f"checkpoint {step} of run {settings.trainer.run} is pinned")


@app.command()
@with_settings
def unpin(settings: Settings, step: Step, run: OfRun = None) -> None:
    """Let a checkpoint go at the next save, unless something else keeps it."""
    from headrace import checkpoints

    settings = of_run(settings, run)
    checkpoints.unpin(settings.checkpoint_dir / settings.trainer.run, step)
    out.print(f"checkpoint {step} of run {settings.trainer.run} is no longer pinned")


def _row(one: Shelved, now: float) -> tuple[str, ...]:
    if one.manifest is None:
        return (str(one.step), "", "", "", f"[red]{escape(one.flaw)}[/]", escape(one.note))
    why = f"[red]{escape(one.flaw)}[/]" if one.flaw else ", ".join(one.why) or "[dim]until the next save[/]"
    tokens, age = f"{one.manifest.tokens:,}", duration(now - one.manifest.time / 1000)
    return (str(one.step), tokens, age, _size(one.bytes), why, escape(one.note))


def _as_json(one: Shelved) -> dict[str, object]:
    manifest = one.manifest
    return {
        "step": one.step,
        "tokens": manifest.tokens if manifest else None,
        "time": manifest.time / 1000 if manifest else None,
        "bytes": one.bytes,
        "kept": one.why,
        "pinned": "pinned" in one.why,
        "note": one.note,
        "flaw": one.flaw,
        "weights": manifest.weights if manifest else None,
        "parent": manifest.parent if manifest else None,
        "attempt": manifest.attempt if manifest else None,
        "path": str(one.path),
    }


def _size(bytes_: int) -> str:
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:.1f} MB"
