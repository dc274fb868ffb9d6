"""`headrace topics`: the topics, as declared and as they are."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.table import Table

from headrace.cli.options import out, with_settings
from headrace.contract.errors import ContractError
from headrace.contract.settings import Settings
from headrace.contract.topics import TOPICS
from headrace.kafka import Cluster

app = typer.Typer(name="topics", help="The topics of a deployment.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("list")
@with_settings
def list_topics(settings: Settings, json: Json = False) -> None:
    """Show every topic: partitions, offsets up to the last stable one, id."""
    from headrace.local.status import span

    cluster = Cluster(settings)
    there = cluster.partitions([topic.name for topic in TOPICS])
    ids = cluster.topic_ids(list(there))
    rows = [
        {"topic": settings.topic(name), "partitions": there[name], "offsets": span(cluster, name), "id": ids[name]}
        for name in there
    ]
    if json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("topic", "partitions", "offsets", "id", box=None, header_style="bold")
    for row in rows:
        table.add_row(*map(str, row.values()))
    out.print(table)


@app.command()
@with_settings
def create(settings: Settings) -> None:
    """Create what is missing and set every topic's configuration; partitions are added, never removed."""
    cluster = Cluster(settings)
    before = cluster.partitions([topic.name for topic in TOPICS])
    cluster.create()
    made = [settings.topic(topic.name) for topic in TOPICS if topic.name not in before]
    out.print(f"{len(TOPICS)} topics are as declared, {len(made)} of them new: {', '.join(made) or 'none'}")


@app.command()
@with_settings
def check(settings: Settings) -> None:
    """Compare every topic with its declaration; exit code 4 names what differs."""
    if wrong := Cluster(settings).check():
        raise ContractError("topics are not as declared: " + "; ".join(wrong) + ". `headrace topics create` sets them")
    out.print(f"{len(TOPICS)} topics are as declared")
