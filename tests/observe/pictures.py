"""The dashboards' data as pictures, from the same queries: for a person to look at where no Grafana is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt

from tests.observe.verdict import Shown

COLUMNS = 3
LABEL = 40


def draw(shown: Shown, windows: Mapping[str, tuple[float, float]], folder: Path) -> None:
    """One PNG a dashboard; what happened is a grey band in each panel."""
    folder.mkdir(parents=True, exist_ok=True)
    for board in sorted({name for name, _ in shown}):
        titles = [title for name, title in shown if name == board]
        rows = -(-len(titles) // COLUMNS)
        figure, axes = plt.subplots(rows, COLUMNS, figsize=(6 * COLUMNS, 3 * rows), squeeze=False, layout="constrained")
        for axis, title in zip(axes.flat, titles, strict=False):
            axis.set_title(title, fontsize=9)
            begun = min(begin for begin, _ in windows.values())
            for series in shown[board, title]:
                for labels, values in series.items():
                    name = ", ".join(json.loads(labels).values())[:LABEL] or "all"
                    axis.plot([at - begun for at, _ in values], [value for _, value in values], label=name, linewidth=1)
            for begin, end in windows.values():
                axis.axvspan(begin - begun, end - begun, color="0.5", alpha=0.12)
            if any(shown[board, title]):
                axis.legend(fontsize=5, loc="upper left")
            axis.tick_params(labelsize=6)
        for axis in axes.flat[len(titles) :]:
            axis.axis("off")
        figure.savefig(folder / f"{board}.png", dpi=80)
        plt.close(figure)
