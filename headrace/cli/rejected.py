"""`headrace rejected`: what was not accepted and why, and how to publish it again."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from headrace.cli.options import out, say, with_settings
from headrace.cli.since import moment
from headrace.contract.documents import REASONS
from headrace.contract.errors import Coordinate, SettingsError
from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import Cluster
from headrace.rejects import Reject, Replayer, find, parse_coordinate, read_rejects

app = typer.Typer(name="rejected", help="Documents that were not accepted.", no_args_is_help=True)

COLUMNS = ("published", "document", "reason", "stage", "detail", "source", "bytes")

Reason = Annotated[str | None, typer.Option("--reason", help="Only those rejected for this reason.")]
Source = Annotated[str | None, typer.Option("--source", help="Only those from this source, as far as it is known.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Only those published since: 30m, 2h, 3d, or an ISO 8601 time.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list")
@with_settings
def list_rejected(
    settings: Settings,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Show so many, the last published ones.")] = 20,
    summary: Annotated[bool, typer.Option("--summary", help="Only count them, by reason.")] = False,
    json: Json = False,
) -> None:
    """Show rejected documents, or count them by reason."""
    found = select(Cluster(settings), reason, source, since)
    if summary:
        _count(found, json)
        return
    rows = [_row(reject) for reject in newest(found, limit)]
    if json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table(*COLUMNS, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(escape(str(row[name])) for name in COLUMNS))
    out.print(table)


@app.command()
@with_settings
def show(
    settings: Settings,
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="In text.raw; or text.rejected[0]@5.")],
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes that are kept, and nothing else.")] = False,
    json: Json = False,
) -> None:
    """Show one rejected document: why, where it is, and the text itself."""
    (reject,) = find(Cluster(settings), [parse_coordinate(place)])[:1]
    if raw:
        typer.echo(reject.value or b"", nl=False)
        return
    headers = {name: readable(value) for name, value in reject.said.original.items()}
    row = {**_row(reject), "meaning": REASONS.get(reject.said.reason, ""), "at": str(reject.at), "headers": headers}
    text = readable(reject.value) if reject.value else "no bytes are kept of it"
    if json:
        typer.echo(orjson.dumps({**row, "text": text if reject.value else None}, option=orjson.OPT_INDENT_2).decode())
        return
    for name, value in row.items():
        out.print(f"[bold]{name:<10}[/]", escape(str(value)), highlight=False, soft_wrap=True)
    out.print()
    say(escape(text))


@app.command()
@with_settings
def replay(
    settings: Settings,
    places: Annotated[
        list[str] | None, typer.Argument(metavar="PARTITION:OFFSET", help="Only these, by place in text.raw.")
    ] = None,
    reason: Reason = None,
    source: Source = None,
    since: Since = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that are replays themselves and were rejected again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be replayed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Publish rejected documents again: the same bytes, key and headers, and where they were before.

    Each is replayed once, however often and whenever this command is given or killed. Do it after whatever rejected
    them was changed; otherwise they are rejected again. A duplicate is not replayed: its like was accepted.
    """
    if not places and not (reason or source or since):
        raise SettingsError("say which: PARTITION:OFFSET, --reason, --source or --since")
    if places and (reason or source or since):
        raise SettingsError("either PARTITION:OFFSET or --reason, --source and --since, not both")
    cluster = Cluster(settings)
    if not (dry_run or yes):
        would = _run(cluster, places, reason, source, since, again, dry_run=True)
        typer.confirm(f"Publish {would['replayed']:,} documents again?", abort=True, err=True)
    result = _run(cluster, places, reason, source, since, again, dry_run)
    if json:
        typer.echo(orjson.dumps(result).decode())
        return
    out.print(
        f"{'would replay' if dry_run else 'replayed'} {result['replayed']:,}, already {result['already']:,}",
        highlight=False,
    )
    for name, why in WHY_NOT.items():
        if result[name]:
            say(f"{result[name]:,} {why}")


WHY_NOT = {
    "duplicate": "are duplicates: no bytes are kept of them, their like was accepted",
    "empty": "are empty: there is nothing to publish again",
    "gone": "were rejected by the tokenize job and are no longer in text.raw",
}


def _run(
    cluster: Cluster,
    places: list[str] | None,
    reason: str | None,
    source: str | None,
    since: str | None,
    again: bool,
    dry_run: bool,
) -> dict[str, int]:
    replayer = Replayer(cluster, dry_run, again)
    wanted = find(cluster, [parse_coordinate(place) for place in places]) if places else None
    found = wanted if wanted is not None else select(cluster, reason, source, since)
    return vars(replayer.run(found, int(time.time() * 1000)))


def select(cluster: Cluster, reason: str | None, source: str | None, since: str | None) -> Iterator[Reject]:
    """The rejects that fit; raises SettingsError for a reason that does not exist or a time that is none."""
    if reason is not None and reason not in REASONS:
        raise SettingsError(f"there is no reason {reason}; reasons are {', '.join(REASONS)}")
    for reject in read_rejects(cluster, since_ms(since, datetime.now(UTC))):
        if reason in (None, reject.said.reason) and (source is None or source == reject.source):
            yield reject


def newest(found: Iterable[Reject], limit: int) -> list[Reject]:
    """The last `limit` of each partition, of these the last published ones, oldest first."""
    kept: dict[int, deque[Reject]] = {}
    for reject in found:
        kept.setdefault(reject.at.partition, deque(maxlen=limit)).append(reject)
    everything = [reject for of_part in kept.values() for reject in of_part]
    return sorted(everything, key=lambda reject: reject.published)[-limit:]


def since_ms(since: str | None, now: datetime) -> int:
    """Epoch milliseconds of what --since says; 0 where it says nothing, or a time before there were any."""
    return max(0, int(moment(since, now).timestamp() * 1000)) if since else 0


def readable(value: bytes) -> str:
    """Text as it is; anything else, control characters too, as Python writes bytes."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return repr(value)
    plain = text.replace("\n", "").replace("\t", "")
    return text if plain.isprintable() else repr(value)


def _row(reject: Reject) -> dict[str, Any]:
    return {
        "published": datetime.fromtimestamp(reject.published / 1000, UTC).isoformat(timespec="seconds"),
        "document": str(Coordinate(RAW, *reject.said.raw)),
        "reason": reject.said.reason,
        "stage": reject.said.stage,
        "detail": reject.said.detail,
        "source": reject.source,
        "bytes": len(reject.value) if reject.value is not None else 0,
    }


def _count(found: Iterable[Reject], json: bool) -> None:
    counts = Counter(reject.said.reason for reject in found)
    if json:
        typer.echo(orjson.dumps(dict(counts.most_common())).decode())
        return
    table = Table("reason", "documents", "meaning", box=None, header_style="bold", pad_edge=False)
    for reason, count in counts.most_common():
        table.add_row(reason, f"{count:,}", escape(REASONS.get(reason, "")))
    out.print(table)
    out.print(f"{counts.total():,} rejected")
