"""`headrace settings`: every setting with its value, where it came from and what it means."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.table import Table

from headrace.cli.options import Assign, Config, out
from headrace.contract.settings import describe, flatten, load


def settings(
    config: Config = None,
    assign: Assign = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/settings.md.")] = False,
) -> None:
    """Print every setting: its value, where the value came from, what it means."""
    if markdown:
        typer.echo(page())
        return
    resolved = load(config, assign or ())
    values = dict(flatten(resolved.settings.model_dump()))
    rows = [
        {"key": key, "value": values[key], "origin": resolved.origins.get(key, "default"), "meaning": meaning}
        for key, _, meaning in describe()
    ]
    if json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table("key", "value", "from", "meaning", box=None, header_style="bold")
    for row in rows:
        table.add_row(*(str(row[name]) for name in ("key", "value", "origin", "meaning")))
    out.print(table)


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
