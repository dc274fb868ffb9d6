"""`headrace settings`: every setting with its value, where it came from and what it means."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from headrace.cli.options import Assign, Config, out
from headrace.contract.settings import Settings, describe, flatten, load

SETTLED = (
    "kafka.brokers",
    "flink.rest",
    "flink.state_dir",
    "trainer.checkpoint_dir",
    "trainer.model",
    "tokenizer.path",
)
"""What `up` makes definite, besides local.*: a running stack has other values than it was given."""


def settings(
    config: Config = None,
    assign: Assign = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
) -> None:
    """Print every setting: its value, where the value came from, what it means.

    Where a stack runs with other values than these, they are named: it keeps them until it is started again.
    """
    if markdown:
        typer.echo(page())
        return
    resolved = load(config, assign or ())
    values = dict(flatten(resolved.settings.model_dump()))
    rows = [
        {"key": key, "value": masked(values[key]), "origin": resolved.origins.get(key, "default"), "meaning": meaning}
        for key, _, meaning in describe()
    ]
    if json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("key", "value", "from", "meaning", box=None, header_style="bold")
    for row in rows:
        table.add_row(*(str(row[name]) for name in ("key", "value", "origin", "meaning")))
    out.print(table)
    for key, here, there in differing(resolved.settings):
        out.print(f"[yellow]the running stack has {key} = {there}[/], not {here}", highlight=False)


def masked(value: object) -> object:
    """The value without the password of an address."""
    return re.sub(r"//[^/@]*@", "//***@", value) if isinstance(value, str) else value


def differing(here: Settings) -> Iterator[tuple[str, Any, Any]]:
    """(key, value here, value there) of each setting that the running stack was started with otherwise."""
    from headrace.local import state

    running = state.running(here.data_dir)
    there = dict(flatten(running.settings.model_dump())) if running else {}
    for key, value in flatten(here.model_dump()):
        if key in there and there[key] != value and key not in SETTLED and not key.startswith("local."):
            yield key, value, there[key]


def page() -> str:
    """The reference of all settings with their defaults, as Markdown."""
    rows = [f"| `{key}` | `{default}` | {meaning} |" for key, default, meaning in describe()]
    return "\n".join(
        [
            "# Settings",
            "",
            "Made by `headrace settings --markdown`. Later wins: these defaults, one TOML file (`--config`, else",
            "`./headrace.toml`), environment (`HEADRACE_TRAINER__RANKS=2`), `--set trainer.ranks=2`.",
            "",
            "| key | default | meaning |",
            "|---|---|---|",
            *rows,
        ]
    )
