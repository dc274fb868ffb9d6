"""`headrace status`: one screen on what runs and how far the stream has come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import out, with_settings
from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings

if TYPE_CHECKING:
    from headrace.local.status import Status, Stream

COLOURS = {"running": "green", "starting": "cyan", "restarting": "yellow", "failed": "red"}


@with_settings
def status(
    settings: Settings, json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a screen.")] = False
) -> None:
    """Show every part, the topics, the lag of the jobs, the planned and the trained step, the loss.

    Exit code 0 when all of it runs, 3 otherwise.
    """
    from headrace.local import state
    from headrace.local.status import look

    if (running := state.running(settings.data_dir)) is None:
        if json:
            typer.echo(orjson.dumps({"phase": "down", "running": False, "data_dir": str(settings.data_dir)}).decode())
        else:
            out.print(f"nothing runs in {settings.data_dir}: `headrace up` starts it", soft_wrap=True)
        raise typer.Exit(DependencyError.exit_code)
    seen = look(running)
    if json:
        typer.echo(orjson.dumps(seen.as_json(time.time()), option=orjson.OPT_INDENT_2).decode())
    else:
        show(seen, time.time())
    if not seen.running:
        raise typer.Exit(DependencyError.exit_code)


def show(seen: Status, now: float) -> None:
    """Print one look."""
    out.print(f"[bold]{seen.state.phase}[/] since {_duration(now - seen.state.since)}, supervisor {seen.state.pid}")
    out.print(_parts(seen, now))
    for part in seen.state.parts:
        for line in part.error:
            out.print(f"  [red]{part.name}[/] {escape(line)}", highlight=False, soft_wrap=True)
    if seen.flink_jobs is not None:
        out.print("jobs     " + "   ".join(f"{name} {said}" for name, said in seen.flink_jobs.items()), highlight=False)
    if seen.stream is not None:
        _show_stream(seen.stream)
    for problem in seen.problems:
        out.print(f"[red]{escape(problem)}[/]", highlight=False, soft_wrap=True)


def _parts(seen: Status, now: float) -> Table:
    table = Table("part", "state", "pid", "for", "restarts", "where", box=None, header_style="bold")
    for part in seen.state.parts:
        code = f" ({part.exit_code})" if part.exit_code is not None else ""
        shown = f"[{COLOURS.get(part.state, 'dim')}]{part.state}{code}[/]"
        table.add_row(
            part.name, shown, str(part.pid or ""), _duration(now - part.since), str(part.restarts or ""), part.url
        )
    return table


def _show_stream(stream: Stream) -> None:
    table = Table("topic", "offsets", "to read", box=None, header_style="bold")
    behind = {"text.raw": stream.lag["clean"], "text.clean": stream.lag["tokenize"]}
    for name, count in stream.topics.items():
        table.add_row(name, f"{count:,}", f"{behind[name]:,}" if name in behind else "")
    out.print(table)
    planned = f"{stream.planned.step:,}" if stream.planned else "none"
    trained = "none"
    if (told := stream.trained) is not None:
        trained = f"{told.step:,}, loss {told.loss:.3f}, {told.tokens_total:,} tokens, {told.ranks} ranks"
    out.print(f"planned step {planned}; trained step {trained}", highlight=False)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
