"""`headrace status`: one screen on what runs and how far the stream has come."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import out, say, with_settings
from headrace.cli.screen import duration
from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings
from headrace.contract.training import MAIN_RUN
from headrace.runs import next_step

if TYPE_CHECKING:
    from headrace.local.status import Status, Stream

COLOURS = {"running": "green", "starting": "cyan", "restarting": "yellow", "stopping": "yellow", "failed": "red"}
GIB = 1024**3


@with_settings
def status(
    settings: Settings, json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a screen.")] = False
) -> None:
    """Show every part, the topics, what each stage has still to read, the last steps, the disks, and what is wrong.

    Exit code 0 when all of it runs; 1 when something does not, or a disk is nearly full; 3 when nothing runs;
    4 when a part has ended for good because data contradicts its contract. Where no local stack runs and kafka.brokers
    names another deployment, what its broker and its Flink say.
    """
    from headrace.local import state
    from headrace.local.status import elsewhere, look

    running = state.running(settings.data_dir)
    if running is None and settings.kafka.brokers:
        running = elsewhere(settings)
    if running is None:
        if json:
            down = {"phase": "down", "running": False, "exit_code": 3, "data_dir": str(settings.data_dir)}
            typer.echo(orjson.dumps(down, option=orjson.OPT_INDENT_2).decode())
        else:
            out.print(f"nothing runs in {settings.data_dir}: `headrace up` starts it", soft_wrap=True)
        raise typer.Exit(DependencyError.exit_code)
    seen = look(running)
    if json:
        typer.echo(orjson.dumps(seen.as_json(time.time()), option=orjson.OPT_INDENT_2).decode())
    else:
        show(seen, time.time())
    raise typer.Exit(seen.exit_code)


def show(seen: Status, now: float) -> None:
    """Print one look."""
    if seen.state.pid:
        out.print(f"[bold]{seen.state.phase}[/] since {duration(now - seen.state.since)}, supervisor {seen.state.pid}")
    out.print(_parts(seen, now))
    for part in seen.state.parts:
        for line in part.error:
            say(f"  [red]{part.name}[/] {escape(line)}")
    if seen.flink_jobs is not None:
        out.print("jobs     " + "   ".join(f"{name} {said}" for name, said in seen.flink_jobs.items()), highlight=False)
    if seen.stream is not None:
        _show_stream(seen.stream, now)
    out.print(_disks(seen), highlight=False)
    for problem in seen.problems:
        say(f"[red]{escape(problem)}[/]")


def _parts(seen: Status, now: float) -> Table:
    table = Table("part", "state", "pid", "for", "restarts", "where", box=None, header_style="bold")
    for part in seen.state.parts:
        code = f" ({part.exit_code})" if part.exit_code is not None else ""
        shown = f"[{COLOURS.get(part.state, 'dim')}]{part.state}{code}[/]"
        table.add_row(
            part.name, shown, str(part.pid or ""), duration(now - part.since), str(part.restarts or ""), part.url
        )
    return table


def _disks(seen: Status) -> str:
    rooms: dict[str, list[str]] = {}
    for name, room in seen.disk_free.items():
        rooms.setdefault(f"{room / GIB:,.1f} GiB", []).append(name)
    return "free     " + "   ".join(f"{room} for {', '.join(names)}" for room, names in rooms.items())


def _show_stream(stream: Stream, now: float) -> None:
    table = Table("topic", "offsets", "to read", box=None, header_style="bold")
    readers = {"text.raw": "clean", "text.clean": "tokenize", "tokens.blocks": "planner", "train.plan": "trainer"}
    for name, count in stream.topics.items():
        table.add_row(name, f"{count:,}", f"{stream.lag[readers[name]]:,}" if name in readers else "")
    out.print(table)
    planned = "none" if stream.planned_step is None else f"{stream.planned_step:,}"
    trained = "none" if stream.trained_step is None else f"{stream.trained_step:,}"
    if (told := stream.trained) is not None:
        since = duration(now - told.time / 1000)
        trained += f" ({since} ago), loss {told.loss:.3f}, {told.tokens_total:,} tokens, {told.ranks} ranks"
    who = "" if stream.main == MAIN_RUN else f" by the main run, {stream.main}"
    out.print(f"planned step {planned}; trained step {trained}{who}", highlight=False)
    for report in stream.others:
        since = duration(now - report.time / 1000)
        out.print(f"run {report.run}: trained step {next_step(report) - 1:,} ({since} ago)", highlight=False)
