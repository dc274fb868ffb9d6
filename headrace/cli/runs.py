"""`headrace runs`: every history of a model, how far each is, and halting one."""

from __future__ import annotations

import time
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from headrace.cli.comparing import compare
from headrace.cli.options import err, out, say, with_settings
from headrace.cli.runs_of_stack import end, start
from headrace.cli.screen import duration
from headrace.contract.errors import DependencyError, SettingsError
from headrace.contract.settings import Settings, Trainer

app = typer.Typer(name="runs", help="Runs: the histories of models.", no_args_is_help=True)
app.command("start")(start)
app.command("compare")(compare)
Name = Annotated[str | None, typer.Argument(metavar="[RUN]", help="Else trainer.run, else the main run.")]


@app.command("list")
@with_settings
def list_runs(
    settings: Settings, json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Show every run: the next step and the newest checkpoint's, tokens, attempts, ranks, whether it trains now.

    Also which settings it was begun with, where they differ from the defaults; a run keeps them.
    """
    from headrace.kafka import Cluster
    from headrace.runs import add_reports, look_at_disk

    runs, now = look_at_disk(settings), time.time()
    try:
        add_reports(runs, Cluster(settings, timeout_s=5), now)
    except DependencyError as error:
        say(f"[yellow]what was reported is not known:[/] {escape(str(error))}", err)
    rows = [run.as_json() for _, run in sorted(runs.items())]
    if json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
    elif rows:
        show(rows, now)
    else:
        say(f"no run in {settings.checkpoint_dir}: `headrace up` begins one")


@app.command()
@with_settings
def promote(
    settings: Settings,
    run: Annotated[str, typer.Argument(help="The run that becomes the main one.")],
    anyway: Annotated[bool, typer.Option("--anyway", help="Also one that lags, or that nobody trains.")] = False,
) -> None:
    """Make a run the main one: the planner follows it, and commands mean it where none is named.

    The former main run trains on, as any other run. One that lags behind the plan, or that nobody trains, is refused:
    until it came near the end of the plan the planner would write no step, and no run could go on.
    """
    from headrace.control import command, why_not_promote
    from headrace.kafka import Cluster
    from headrace.runs import all_told, known_run

    name, cluster = known_run(settings, run, time.time()), Cluster(settings)
    before = all_told(cluster).main
    why = why_not_promote(cluster, name, time.time())
    if why and not anyway:
        raise SettingsError(f"{why}. --anyway promotes it all the same")
    command(settings, name, "promote", time.time())
    out.print(f"run {name} is the main run now, {before} was{' too' if before == name else ''}", highlight=False)
    if why:
        say(f"[yellow]{escape(why)}[/]", err)


@app.command()
@with_settings
def stop(settings: Settings, run: Name = None) -> None:
    """Let a run save and halt, through every restart, until `headrace runs resume`. Its ranks stay, and wait."""
    from headrace.control import command
    from headrace.runs import known_run

    name = known_run(settings, run, time.time())
    command(settings, name, "stop", time.time())
    out.print(
        f"run {name} is asked to save and to halt: see `headrace runs list`; `headrace runs resume` lets it go on"
    )


@app.command()
@with_settings
def resume(settings: Settings, run: Name = None) -> None:
    """Let a halted run go on where it stopped."""
    from headrace.control import command
    from headrace.runs import known_run

    name = known_run(settings, run, time.time())
    command(settings, name, "resume", time.time())
    out.print(f"run {name} is asked to go on: see `headrace runs list`")


app.command("end")(end)


def show(rows: list[dict[str, Any]], now: float) -> None:
    """Print a table of runs, and below it what is special about each."""
    cells = [_cells(row, now) for row in rows]
    table = Table(*cells[0], box=None, header_style="bold")
    for line in cells:
        table.add_row(*line.values())
    out.print(table)
    for row in rows:
        about = ["the main run, which paces the planner"] if row["main"] else []
        about += [differs] if (differs := _not_default(row["settings"])) else []
        out.print(f"{row['run']}: {escape('; '.join(about) or 'all settings are the defaults')}", soft_wrap=True)
        if row["save_error"]:
            say(f"[red]{row['run']}: {escape(row['save_error'])}[/]")


def _cells(row: dict[str, Any], now: float) -> dict[str, str]:
    """By the title of their column. `kept` are the checkpoints with weights, of all that were ever made."""
    saved, reported = row["saved_time"], row["reported"]
    return {
        "run": row["run"],
        "state": _state(row),
        "step": _number(row["step"]),
        "saved": _number(row["saved_step"]),
        "ago": duration(now - saved) if saved else "",
        "tokens": _number(row["tokens"]),
        "loss": f"{row['loss']:.3f}" if row["loss"] is not None else "",
        "ranks": _number(row["ranks"]),
        "attempts": _number(row["attempts"]),
        "kept": f"{row['checkpoints']} of {row['checkpoints'] + row['pruned']}",
        "heard": f"{duration(now - reported)} ago" if reported else "",
    }


def _state(row: dict[str, Any]) -> str:
    if row["halted"]:
        return "[yellow]halted[/]"
    return "[green]trains[/]" if row["live"] else "[dim]ended[/]" if row["ended"] else "rests"


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _not_default(fixed: dict[str, Any]) -> str:
    """The settings that a run keeps, where it was not begun with the defaults."""
    known = Trainer()
    changed = {key: value for key, value in fixed.items() if value != getattr(known, key, value)}
    return "  ".join(f"trainer.{key}={value}" for key, value in changed.items() if key != "nominal_tokens")
