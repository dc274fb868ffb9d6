"""What commands show in the same way: the frame of a live view, a row of bars, a span of time."""

from __future__ import annotations

import math
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


def sparkline(values: Sequence[float], width: int = WIDTH, between: tuple[float, float] | None = None) -> str:
    """The values as a row of at most `width` bars, each the mean of an equal share of them; a dot where that is no
    number. The lowest and the highest bar stand for `between`, else for the least and the greatest mean.
    """
    if not values:
        return ""
    count = min(width, len(values))
    edges = [len(values) * number // count for number in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    known = [mean for mean in means if math.isfinite(mean)]
    low, high = between or (min(known, default=0.0), max(known, default=0.0))
    return "".join(_bar((mean - low) / ((high - low) or 1.0)) for mean in means)


def _bar(share: float) -> str:
    return BARS[round(min(max(share, 0), 1) * (len(BARS) - 1))] if math.isfinite(share) else "·"


def duration(seconds: float) -> str:
    """A span of time, in the unit that fits; none where a clock was set back."""
    seconds = max(0.0, seconds)
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
