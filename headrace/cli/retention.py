"""`headrace retention`: delete what nobody needs any more, after verify found it to hold."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from headrace.audit.needs import Need, Row
from headrace.audit.retention import CutWriter, Keep, Outlook, delete, look
from headrace.checkpoints import is_locked
from headrace.cli.options import err, out, say, with_settings
from headrace.cli.verify import progress_of_verify, show
from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.settings import Settings
from headrace.contract.topics import SEGMENT_BYTES, SEGMENT_MS
from headrace.kafka import Cluster
from headrace.runs import chosen_run

LONGEST = 1_000_000.0
"""Hours: a century. Whoever wants to keep all does not run this command."""
LEFT = ("topic", "held back by")
COLUMNS = ("topic", "partition", "first", "needed from", "to go", "held back by")


@with_settings
def retention(
    settings: Settings,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go; write and delete nothing.")] = False,
    keep_hours: Annotated[
        float | None,
        typer.Option("--keep-hours", min=0, max=LONGEST, help="Keep steps planned since; else retention.keep_hours."),
    ] = None,
    keep_rejected_hours: Annotated[
        float | None,
        typer.Option(
            "--keep-rejected-hours", min=0, max=LONGEST, help="Keep rejects since; else retention.keep_rejected_hours."
        ),
    ] = None,
    newest: Annotated[
        int | None,
        typer.Option(
            "--newest", min=1, help="Checkpoints of each run to train on from; else trainer.keep_checkpoints."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON; asks nothing, so it needs --yes or --dry-run.")
    ] = False,
) -> None:
    """Delete the records of the path that no run, job or planner needs, once verify found all before them to hold.

    What is counted and deleted is written to audit.cuts first: verify goes on from there, its totals do not change. A
    run can then be trained on from its newest checkpoints and the pinned ones, and not from anything older.
    """
    keep = Keep(
        settings.retention.keep_hours if keep_hours is None else keep_hours,
        settings.retention.keep_rejected_hours if keep_rejected_hours is None else keep_rejected_hours,
        newest,
    )
    if json and not (yes or dry_run):
        raise SettingsError("--json asks nothing: add --yes to delete, or --dry-run")
    cluster = Cluster(settings)
    writer = None if dry_run else CutWriter(cluster)
    with progress_of_verify(hidden=json) as begin:
        outlook = look(cluster, chosen_run(settings, None), keep, begin, int(time.time() * 1000))
    if not json:
        _show(outlook, settings.checkpoint_dir)
    if not outlook.report.holds:
        raise ContractError(
            "verify found something wrong, so nothing was written or deleted: `headrace verify` names it"
        )
    goes = [row for row in outlook.rows if row.records]
    if writer and outlook.cut and goes and _agreed(yes, goes):
        writer.write(outlook.cut)
        delete(cluster, goes)
        if not json:
            say(_done(goes))
    if json:
        typer.echo(orjson.dumps(_as_json(outlook, bool(writer and yes)), option=orjson.OPT_INDENT_2).decode())


def _show(outlook: Outlook, checkpoint_dir: Path) -> None:
    if not outlook.report.holds:
        show(outlook.report)
        return
    if outlook.rows:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in COLUMNS:
            table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=name != LEFT[1])
        for row in outlook.rows:
            places = (str(row.partition), f"{row.first:,}", f"{row.target:,}", f"{row.records:,}")
            table.add_row(row.topic, *places, escape(row.by.removeprefix("run ")))
        out.print(table)
    for need in outlook.needs:
        say(f"the plan from record {need.seq:,} on is needed by: {need.by}")
    _hint(checkpoint_dir, outlook.needs[0])
    if not any(row.records for row in outlook.rows):
        out.print("nothing may go now")


def _hint(checkpoint_dir: Path, first: Need) -> None:
    """Which run holds back the most though nobody trains it, and the way out."""
    if first.run and not is_locked(checkpoint_dir / first.run):
        say(
            f"{first.by}, holds back the most and is not being trained. If nobody will go on with it:"
            f" `headrace runs end {first.run}`. Else `headrace checkpoints list --run {first.run}`, then unpin that"
            " checkpoint, or count fewer with --newest",
            err,
        )


def _agreed(yes: bool, goes: list[Row]) -> bool:
    if yes:
        return True
    records = sum(row.records for row in goes)
    typer.confirm(f"Delete {records:,} records for good?", abort=True, err=True)
    return True


def _done(goes: list[Row]) -> str:
    records, size = sum(row.records for row in goes), sum(row.bytes for row in goes)
    return (
        f"deleted {records:,} records, about {decimal(size)} before compression; the broker frees whole segments, so"
        f" the disk follows when they are closed: after {SEGMENT_BYTES >> 20} MiB or {SEGMENT_MS // 3_600_000} hours"
    )


def _as_json(outlook: Outlook, done: bool) -> dict[str, Any]:
    return {
        "holds": outlook.report.holds,
        "deleted": done and any(row.records for row in outlook.rows),
        "cut": {"seq": outlook.cut.seq, "step": outlook.cut.step} if outlook.cut else None,
        "needs": [{"seq": need.seq, "by": need.by} for need in outlook.needs],
        "partitions": [
            {
                "topic": row.topic,
                "partition": row.partition,
                "first": row.first,
                "needed_from": row.target,
                "by": row.by,
                "records": row.records,
                "bytes": row.bytes,
            }
            for row in outlook.rows
        ],
    }
