"""Losses as pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headrace.compare import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRETCHES = 200
"""Points of a line in a picture, at most."""


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
