"""`headrace topics`: the topics, as declared and as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from headrace.cli.options import out, say, with_settings
from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, DAY_MS, TOPICS
from headrace.kafka import Cluster
from headrace.topics import check_topics, configs, create_topics, differences, grow_topic

app = typer.Typer(name="topics", help="The topics of a deployment.", no_args_is_help=True)


@app.command("list")
@with_settings
def list_topics(
    settings: Settings, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Show every topic: partitions, offsets still there, how long records are kept, id, what is not as declared.

    Offsets count up to the last stable one; markers of transactions take some, so there are fewer records.
    """
    rows = _rows(Cluster(settings))
    if as_json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("topic", "partitions", "offsets", "deleted", "kept", "id", box=None, header_style="bold")
    for row in rows:
        if row["partitions"]:
            shown = (
                row["topic"],
                row["partitions"],
                f"{row['offsets']:,}",
                f"{row['deleted']:,}",
                _kept(row),
                row["id"],
            )
            table.add_row(*map(str, shown))
    out.print(table)
    for row in rows:
        for difference in row["differences"]:
            say(f"[red]{row['topic']} {difference}[/]")


def _rows(cluster: Cluster) -> list[dict[str, Any]]:
    there = cluster.partitions([topic.name for topic in TOPICS])
    ids = cluster.topic_ids(list(there))
    found = configs(cluster, [topic for topic in TOPICS if topic.name in there])
    wrong = differences(cluster)
    rows = []
    for name in (topic.name for topic in TOPICS):
        first = cluster.first_offsets(name) if name in there else {}
        end = cluster.end_offsets(name) if name in there else {}
        config = found.get(name, {})
        rows.append(
            {
                "topic": cluster.settings.topic(name),
                "partitions": there.get(name, 0),
                "offsets": sum(end.values()) - sum(first.values()),
                "deleted": sum(first.values()),
                "cleanup": config.get("cleanup.policy"),
                "retention_ms": int(config["retention.ms"]) if "retention.ms" in config else None,
                "id": ids.get(name),
                "differences": wrong.get(name, []),
            }
        )
    return rows


def _kept(row: Mapping[str, Any]) -> str:
    if row["cleanup"] != "delete":
        return "newest of each key"
    return "for ever" if row["retention_ms"] < 0 else f"{row['retention_ms'] / DAY_MS:g} days"


@app.command()
@with_settings
def create(settings: Settings) -> None:
    """Create what is missing and set every topic's configuration; partitions are added, never removed."""
    cluster = Cluster(settings)
    before = cluster.partitions([topic.name for topic in TOPICS])
    wrong = differences(cluster)
    create_topics(cluster)
    if left := check_topics(cluster):
        raise ContractError("topics are not as declared, and cannot be set so: " + "; ".join(left))
    made = [settings.topic(topic.name) for topic in TOPICS if topic.name not in before]
    for name in before.keys() & wrong.keys():
        say(f"{settings.topic(name)} {'; '.join(wrong[name])}: set")
    out.print(f"{len(TOPICS)} topics are as declared, {len(made)} of them new: {', '.join(made) or 'none'}")


@app.command()
@with_settings
def check(settings: Settings) -> None:
    """Compare every topic with its declaration; exit code 4 names each difference."""
    if wrong := check_topics(Cluster(settings)):
        raise ContractError("topics are not as declared: " + "; ".join(wrong) + ". `headrace topics create` sets them")
    out.print(f"{len(TOPICS)} topics are as declared")


@app.command()
@with_settings
def grow(
    settings: Settings,
    topic: Annotated[str, typer.Argument(help="text.raw, text.clean, text.rejected or tokens.blocks")],
    partitions: Annotated[int, typer.Argument(min=1, help="How many it has then; more than now.")],
) -> None:
    """Add partitions to a topic, while documents go on coming. There is no way back.

    Whoever reads the topic begins each new partition at its beginning: the jobs within 10 seconds, the planner within
    30. For tokens.blocks the tokenize job is stopped for a moment: the blocks of a window stay in one partition.
    """
    declared = next((one for one in TOPICS if one.name == topic), None)
    if declared is None or declared.ordered:
        may = ", ".join(one.name for one in TOPICS if not one.ordered)
        raise SettingsError(f"{topic} cannot grow, the order of its records counts: only {may} can")
    cluster = Cluster(settings)
    before = cluster.require([topic])[topic]
    if partitions <= before:
        raise SettingsError(f"{topic} has {before} partitions: name a larger number, none is ever taken away")
    if topic == BLOCKS:
        _grow_blocks(settings, cluster, partitions)
    else:
        grow_topic(cluster, topic, partitions)
    out.print(f"{settings.topic(topic)} has {partitions} partitions, {partitions - before} of them new")


def _grow_blocks(settings: Settings, cluster: Cluster, partitions: int) -> None:
    from headrace import jobs
    from headrace.cli.jobs import LOCK_S, of_local_stack
    from headrace.flink import FlinkRest, rest_of

    settings = of_local_stack(settings)
    rest = FlinkRest(rest_of(settings))
    with jobs.alone(settings, LOCK_S):
        if running := jobs.active(settings, jobs.TOKENIZE, rest.jobs()):
            jobs.stop(settings, rest, jobs.TOKENIZE, running, timeout_s=60)
        grow_topic(cluster, BLOCKS, partitions)
        if running:
            with jobs.Program(settings) as program:
                jobs.start(program, jobs.TOKENIZE)
