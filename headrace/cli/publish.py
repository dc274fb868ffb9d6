"""`headrace publish`: files, directories, standard input and other topics into the stream."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.cli.inputs.cut import Columns, Cut, Format
from headrace.cli.options import with_settings
from headrace.contract.settings import Settings

INPUT, PACE = "Input", "Pace"


@with_settings
def publish(
    settings: Settings,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Files, directories, quoted patterns (**/*.jsonl); - is standard input."),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="How a file is cut into documents.", rich_help_panel=INPUT)
    ] = Format.auto,
    source: Annotated[
        str | None, typer.Option(help="Where the text is from; a row may say its own.", rich_help_panel=INPUT)
    ] = None,
    text_field: Annotated[str, typer.Option(help="Field that holds the text.", rich_help_panel=INPUT)] = "text",
    id_field: Annotated[
        str | None, typer.Option(help="Field that holds an identifier; else id.", rich_help_panel=INPUT)
    ] = None,
    time_field: Annotated[
        str | None, typer.Option(help="Field that holds when it was written; else time.", rich_help_panel=INPUT)
    ] = None,
    label_field: Annotated[
        str | None, typer.Option(help="Field that holds a label; else label.", rich_help_panel=INPUT)
    ] = None,
    from_topic: Annotated[
        str | None, typer.Option(metavar="NAME", help="Copy another topic's records.", rich_help_panel=INPUT)
    ] = None,
    from_brokers: Annotated[
        str, typer.Option(help="Where that topic is; else the same brokers.", rich_help_panel=INPUT)
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="Forget what was published before; publish all.", rich_help_panel=INPUT)
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is added, until ended.", rich_help_panel=PACE)
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Documents a second at most.", rich_help_panel=PACE)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Documents at most.", rich_help_panel=PACE)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Publish files, directories, standard input, or another topic.

    [bold]auto[/] goes by the name: .jsonl .ndjson .json .csv .tsv .parquet,
    .log is [bold]lines[/] (a document a line), others are [bold]text[/] (one document:
    .html a page, .eml a mail);
    standard input is [bold]lines[/]. gzip and zstd are taken off.

    An object or row has "text", and maybe "id", "source", "time", "label".

    Publish the same files again, after whatever interrupted it, and only
    what is not there yet is sent; see docs/publishing.md for the boundary.

    What is malformed or too long is named with file and line; the rest goes on.

    Exit code 0: the broker holds every document. 2: all but the named ones.
    3: the broker is not there or went away. 130: ended by Ctrl-C.

    [dim]headrace publish mails/ 'logs/**/*.jsonl.gz' --source archive[/]
    [dim]headrace publish reviews.csv --text-field body --label-field stars[/]
    [dim]headrace publish --follow /var/log/app.log --source app[/]
    [dim]headrace publish --from-topic old.text.raw[/]
    """
    from headrace.cli.publishing import Request, run

    columns = Columns(text_field, id_field, time_field, label_field)
    cut = Cut(settings.clean.max_document_bytes, form, columns, source, settings.clean.guesses_encoding_of(source))
    request = Request(paths or [], cut, from_topic, from_brokers, again, follow, rate, limit, dry_run, json)
    code = run(settings, request)
    if code:
        raise typer.Exit(code)
