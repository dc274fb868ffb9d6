"""`headrace publish`: files, directories and standard input into the stream."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn

from headrace.cli.inputs import STDIN, Format, Refused, files_of, read
from headrace.cli.options import err, with_settings
from headrace.contract.settings import Settings

COLUMNS = (SpinnerColumn(), BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))


@with_settings
def publish(
    settings: Settings,
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Files or directories; - is standard input.")],
    form: Annotated[Format, typer.Option("--format", help="How a file is cut into documents.")] = Format.auto,
    source: Annotated[str | None, typer.Option(help="Where the text is from; a JSONL line may say its own.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Publish files, directories and standard input.

    [bold]auto[/]: .jsonl and .ndjson files are [bold]jsonl[/], other files are
    [bold]text[/] (one document), standard input is [bold]lines[/] (one a line).

    A JSONL line is an object with "text", and maybe "id", "source",
    "time", "label", "meta". Hidden files in directories are left out.

    A document that is malformed or too long is named with file and line,
    and the rest goes on.

    Exit code 0: the broker holds every document. 2: all but the named ones.
    3: the broker is not there or went away. 130: ended by Ctrl-C.

    [dim]headrace publish mails/ news.jsonl --source archive[/]
    [dim]tail -F app.log | headrace publish - --source app[/]
    """
    from headrace.client import Publisher

    files, limit = files_of(paths), settings.clean.max_document_bytes
    said = {"source": source} if source else {}
    interrupted = False
    refused: Counter[str] = Counter()
    begun = time.monotonic()
    with Progress(*COLUMNS, console=err, disable=not err.is_terminal) as progress, Publisher(settings) as publisher:
        total = None if STDIN in files else sum(Path(file).stat().st_size for file in files)
        bar = progress.add_task("", total=total)
        try:
            for item in (item for file in files for item in read(file, form, limit, sys.stdin.buffer)):
                if isinstance(item, Refused):
                    refused[item.reason] += 1
                    _name(item)
                    continue
                publisher.publish_raw(item.value, {**item.headers, **said})
                speed = _rate(publisher.delivered, time.monotonic() - begun)
                progress.update(bar, advance=len(item.value), description=speed)
        except KeyboardInterrupt:  # how a pipe without end is ended: what was read is still delivered
            interrupted = True
        publisher.flush()
        progress.update(bar, completed=total)
    _summary(publisher.delivered, refused, time.monotonic() - begun, json)
    if interrupted or refused:
        raise typer.Exit(130 if interrupted else 2)


def _name(item: Refused) -> None:
    """Say what cannot be published, and where it stands."""
    err.print(f"{item.place}: {item.reason}: {item.detail}", markup=False, highlight=False, soft_wrap=True)


def _rate(documents: int, seconds: float) -> str:
    return f"{documents:,} documents, {documents / max(seconds, 1e-3):,.0f}/s"


def _summary(published: int, refused: Counter[str], seconds: float, json: bool) -> None:
    too_long = refused["too_long"]
    malformed = refused.total() - too_long
    if json:
        said = {"published": published, "malformed": malformed, "too_long": too_long, "seconds": round(seconds, 3)}
        typer.echo(orjson.dumps({**said, "refused": dict(refused)}).decode())
    else:
        typer.echo(f"published {_rate(published, seconds)}; malformed {malformed:,}, too long {too_long:,}")
