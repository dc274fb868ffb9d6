"""The dashboards' data as pictures, from the same queries: for a person to look at where no Grafana is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, PercentFormatter

from tests.dashboards import FILES, board, panels
from tests.observe.prom import SCRAPE_S, Series
from tests.observe.verdict import Shown

COLUMNS = 3
LABEL = 40
Lines = dict[str, list[tuple[float, float]]]
"""By their legend: (seconds since the beginning, value)."""


def draw(shown: Shown, windows: Mapping[str, tuple[float, float]], folder: Path) -> None:
    """One PNG a dashboard; what happened is a grey band in each panel, with a number that is explained below."""
    folder.mkdir(parents=True, exist_ok=True)
    begun = min(at for found in shown.values() for series in found for values in series.values() for at, _ in values)
    since = [(begin - begun, end - begun) for begin, end in windows.values()]
    for path in FILES:
        own = panels(board(path))
        rows = -(-len(own) // COLUMNS)
        figure, axes = plt.subplots(rows, COLUMNS, figsize=(6 * COLUMNS, 3 * rows), squeeze=False, layout="constrained")
        for axis, panel in zip(axes.flat, own, strict=False):
            _panel(axis, panel, _lines(panel, shown[path.stem, panel["title"]], begun), since)
        for axis in axes.flat[len(own) :]:
            axis.axis("off")
        figure.supxlabel("   ".join(f"{n} {what}" for n, what in enumerate(windows, 1)) or "seconds", fontsize=8)
        figure.savefig(folder / f"{path.stem}.png", dpi=100)
        plt.close(figure)


def _lines(panel: dict[str, Any], found: Sequence[Series], begun: float) -> Lines:
    return {
        _legend(target["legendFormat"], json.loads(labels)): [(at - begun, value) for at, value in values]
        for target, series in zip(panel["targets"], found, strict=True)
        for labels, values in series.items()
    }


def _legend(form: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda name: labels.get(name[1], ""), form)[:LABEL]


def _panel(axis: Axes, panel: dict[str, Any], lines: Lines, windows: Sequence[tuple[float, float]]) -> None:
    defaults = panel["fieldConfig"]["defaults"]
    axis.set_title(panel["title"], fontsize=10)
    axis.tick_params(labelsize=7)
    axis.yaxis.set_major_formatter(PercentFormatter(1) if defaults["unit"] == "percentunit" else EngFormatter(sep=""))
    if defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal":
        times = sorted({at for values in lines.values() for at, _ in values})
        axis.stackplot(times, [[dict(own).get(at, 0) for at in times] for own in lines.values()], labels=list(lines))
    else:
        for name, values in lines.items():
            axis.plot(*zip(*_broken(values), strict=True), label=name, linewidth=1)
    axis.set_ylim(bottom=0)
    for number, (begin, end) in enumerate(windows, 1):
        axis.axvspan(begin, end, color="0.5", alpha=0.12)
        axis.text(begin, 1, str(number), fontsize=6, va="top", transform=axis.get_xaxis_transform())
    if lines:
        axis.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0, frameon=False)


def _broken(values: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The values with a hole where some are missing, as Grafana draws it."""
    holes = [(before + SCRAPE_S, float("nan")) for (before, _), (at, _) in pairwise(values) if at - before > SCRAPE_S]
    return sorted([*values, *holes])
