"""Losses as pictures: on paper, and in a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.compare import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BARS = "▁▂▃▄▅▆▇█"
STRETCHES = 200
"""Points of a line in a picture, at most."""


def sparkline(values: Sequence[float], lowest: float, highest: float) -> str:
    """A bar a value, from `lowest` to `highest`; a dot for one that is not a number."""
    span = (highest - lowest) or 1.0
    heights = [(value - lowest) / span * (len(BARS) - 1) if np.isfinite(value) else None for value in values]
    return "".join("·" if height is None else BARS[round(min(max(height, 0), len(BARS) - 1))] for height in heights)


def plot_losses(axes: Axes, lines: Mapping[str, tuple[Any, Any]], title: str) -> None:
    """Losses over trained tokens, a line a label: (tokens trained, nats a token)."""
    for label, (tokens, losses) in lines.items():
        axes.plot(tokens, losses, linewidth=1, label=label)
    axes.set(xlabel="tokens trained", ylabel="nats a token", title=title)


def draw_comparison(path: Path, found: Comparison, last: int) -> None:
    """Write the picture: the losses of all runs, and how far each lies above the first one. The suffix is the format.

    Both as means over stretches of steps; the difference over the last so many steps stands in the legend.
    """
    from matplotlib.figure import Figure

    stretches = found.stretches(STRETCHES)
    means = found.over(stretches)
    ends = [found.tokens_total[part.stop - 1] for part in stretches]
    figure = Figure(figsize=(12, 5), layout="constrained")
    losses, apart = figure.subplots(1, 2)
    plot_losses(losses, {run: (ends, means[i]) for i, run in enumerate(found.runs)}, "loss")
    losses.legend()
    lines = {}
    for i, run in list(enumerate(found.runs))[1:]:
        mean, error = found.difference(i, last)
        lines[f"{run}: {mean:+.4f} ± {error:.4f} over the last {last} steps"] = (ends, means[i] - means[0])
    plot_losses(apart, lines, f"above {found.runs[0]}")
    apart.axhline(0, color="black", linewidth=0.5)
    apart.legend()
    figure.savefig(path, dpi=120)
