"""What the live views have in common: rows from left to right of the path, the parts below, a sparkline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60

Row = tuple[str, str, RenderableType]
"""What it is, its number, and what is to be said of it."""


def frame(title: str, rows: Sequence[Row], parts: Mapping[str, bool], notes: Sequence[str] = ()) -> Panel:
    """One screen: the way of the text from left to right is from top to bottom here. `parts`: which are up."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for row in rows:
        table.add_row(*row)
    up = [Text(f"● {name}  ", style="green" if alive else "red") for name, alive in parts.items()]
    said = [Text(note, style="red") for note in notes]
    return Panel(Group(table, Text(), Text.assemble(*up), *said), title=title, title_align="left")


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """The values as a row of at most `width` bars, each the mean of an equal share of them, from least to greatest."""
    if not values:
        return ""
    count = min(width, len(values))
    edges = [len(values) * number // count for number in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, span = min(means), max(means) - min(means)
    return "".join(BARS[round((mean - low) / span * (len(BARS) - 1)) if span else 0] for mean in means)
