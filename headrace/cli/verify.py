"""`headrace verify`: the proof that every document was trained exactly once, or what is wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from headrace.audit.report import HEADS, Report
from headrace.audit.retention import CutWriter, Keep, look
from headrace.audit.verify import Begin, verify_deployment
from headrace.cli.options import OfRun, err, out, say, with_settings
from headrace.cli.replaying import check_again
from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.settings import Settings
from headrace.kafka import Cluster
from headrace.runs import chosen_run


@with_settings
def verify(
    settings: Settings,
    run: OfRun = None,
    settled: Annotated[bool, typer.Option("--settled", help="Nothing may be on its way: in flight is lost.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", min=0, help="Wait so long until nothing is in flight.")
    ] = 0.0,
    full: Annotated[
        bool, typer.Option("--full", help="Read all that is left, not only what comes after the last verified cut.")
    ] = False,
    cut: Annotated[
        bool,
        typer.Option("--cut", help="If all holds, begin behind what is older than retention.keep_hours next time."),
    ] = False,
    replay: Annotated[
        str | None,
        typer.Option(
            "--replay",
            metavar="FROM:TO",
            help="Instead: train the steps between two checkpoints again, and compare the weights.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Prove that each published document was trained exactly once by a run, or name what is wrong and exit with 4.

    Counts are from the first document on. What lies before the last verified cut (`headrace retention` and `--cut`
    write one) was verified then and is not read again.

    That proves what was fed. --replay proves the arithmetic: from the checkpoint of step FROM it trains again, by the
    plan, and compares the weights with what the checkpoint of step TO says. The run and its topics stay as they are.
    """
    name = chosen_run(settings, run)
    if replay is not None:
        if cut or full or wait or settled:
            raise SettingsError("--replay goes with --run and --json alone: it trains, and reads no log for the rest")
        check_again(settings, name, replay, json)
        return
    if cut and (full or wait or settled):
        raise SettingsError("--cut goes with neither --full, --wait nor --settled: it moves on from the last cut, now")
    with progress_of_verify(hidden=json) as begin:
        report = move_cut(settings, name, begin) if cut else verify_deployment(settings, name, wait, begin, full)
    report.settled = settled
    if json:
        typer.echo(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        show(report)
    if run and report.saved is None and not report.trained:
        say(f"[yellow]run {run} has saved nothing and reported no step:[/] `headrace runs list` shows all runs", err)
    if not report.holds:
        raise typer.Exit(ContractError.exit_code)


def show(report: Report) -> None:
    """Print the verdict, the table of stages, and all that is wrong."""
    colour = "green" if report.holds else "red"
    out.print(f"[bold {colour}]{report.headline}[/]", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in HEADS:
        table.add_column(name, justify="left" if name == "stage" else "right")
    for row in report.cells():
        table.add_row(*row)
    out.print(table)
    out.print(f"run {report.run}: {report.progress}", highlight=False)
    if report.start.seq:
        when = datetime.fromtimestamp(report.start.time / 1000, UTC).isoformat(timespec="seconds")
        say(
            f"{report.start.counts.published:,} documents and {report.start.step} steps of these were verified before"
            f" and not read again; cut of {when}"
        )
    rate = report.records / report.seconds if report.seconds else 0.0
    out.print(f"{report.records:,} records in {report.seconds:.1f} s, {rate:,.0f} records/s", highlight=False)
    if report.settled and report.waiting:
        out.print(f"[red]{report.waiting} documents are in flight and count as lost[/]")
    for window in report.unsealed if report.settled else ():
        say(f"[red]{escape(window)}: no seal[/]")
    for finding in report.wrong():
        out.print(f"\n[bold red]{finding['kind']}[/], {finding['count']}: {finding['meaning']}", highlight=False)
        for example in finding["examples"]:
            say(f"  {escape(example)}")


def move_cut(settings: Settings, run: str, begin: Begin) -> Report:
    """Verify every run and write down where verify may begin next time."""
    cluster = Cluster(settings)
    writer = CutWriter(cluster)
    keep = Keep(settings.retention.keep_hours)  # what is to stay for so long, retention finds by verifying it again
    outlook = look(cluster, run, keep, begin, int(time.time() * 1000))
    if outlook.cut:
        writer.write(outlook.cut)
        counts = outlook.cut.counts
        err.print(f"verify begins behind step {outlook.cut.step}, {counts.published:,} documents, from now on")
    return outlook.report


@contextmanager
def progress_of_verify(hidden: bool) -> Iterator[Callable[[int], Callable[[int], None]]]:
    columns = (TextColumn("verify"), BarColumn(), MofNCompleteColumn(), TextColumn("records"), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True, disable=hidden) as progress:
        task = progress.add_task("verify", total=None)

        def begin(records: int) -> Callable[[int], None]:
            progress.reset(task, total=records)
            return lambda more: progress.advance(task, more)

        yield begin
