"""What every panel showed of what happened, and the three lines that say whether something is missing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

from headrace.contract import metrics
from tests.dashboards import FILES, RULES, board, expressions, metric_names, panels, substituted, variables
from tests.observe.moves import BOARDS, Move, moved
from tests.observe.prom import Prometheus, Series
from tests.observe.scene import LOOK_BACK_S

Shown = dict[tuple[str, str], list[Series]]
"""By (dashboard, panel): what each of its expressions was."""


class Verdict(NamedTuple):
    """Names of what is missing; all of it empty is well."""

    panels: int
    empty: list[str]
    unmoved: list[str]
    unused: list[str]
    untested: list[str]

    def lines(self) -> list[str]:
        """As they are printed."""
        return [
            f"panels {self.panels} empty {len(self.empty)} unmoved {len(self.unmoved)}",
            f"metrics {len(metrics.ALL)} unused {len(self.unused)}",
            f"alerts {len(RULES)} untested {len(self.untested)}",
        ]


def gather(prometheus: Prometheus, start: float, end: float) -> Shown:
    """Ask all that the dashboards ask."""
    return {
        (path.stem, panel["title"]): [
            prometheus.series(substituted(target["expr"], prometheus.rate), start, end) for target in panel["targets"]
        ]
        for path in FILES
        for panel in panels(board(path))
    }


def judge(prometheus: Prometheus, shown: Shown, windows: Mapping[str, tuple[float, float]], tested: str) -> Verdict:
    """Compare what was shown with what happened; a move by what has not happened is not asked for.

    `tested`: the text of the alerts' unit tests.
    """
    unmoved = [
        f"{name}: {title}: {move.by}, {move.way}"
        for name, own in BOARDS.items()
        for title, move in own.items()
        if move.by in windows and not _moved(move, shown[name, title], windows)
    ]
    asked = [expression for path in FILES for _, expression in expressions(board(path))]
    named = {name for each in [*asked, *(rule["expr"] for rule in RULES)] for name in metric_names(each)}
    unused = [metric.name for metric in metrics.ALL if metric.name not in named] + unserved(prometheus)
    untested = [rule["alert"] for rule in RULES if not _both(rule["alert"], tested)]
    return Verdict(len(shown), empty(prometheus, shown), unmoved, unused, untested)


def empty(prometheus: Prometheus, shown: Shown) -> list[str]:
    """Panels that showed nothing, and variables that have no value."""
    nameless = {name for path in FILES for name in variables(board(path)) if not values(prometheus, name)}
    silent = [f"{name}: {title}" for (name, title), found in shown.items() if not any(found)]
    return silent + [f"variable {name}" for name in sorted(nameless)]


def unserved(prometheus: Prometheus) -> list[str]:
    """Declared metrics that no process has shown."""
    served = set(prometheus.ask("label/__name__/values"))
    return [metric.name for metric in metrics.ALL if metric.name not in served]


def lacking(prometheus: Prometheus, start: float) -> list[str]:
    """Panels that showed nothing since `start`, metrics that nobody serves, alerts that are not judged."""
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    judged = {rule["name"] for rule in rules if rule["health"] == "ok"}
    return [
        *empty(prometheus, gather(prometheus, start, time.time())),
        *unserved(prometheus),
        *(f"alert {rule['alert']}" for rule in RULES if rule["alert"] not in judged),
    ]


def values(prometheus: Prometheus, variable: str) -> list[str]:
    """What a variable may be, as its query says."""
    query = next(query for path in FILES for name, query in variables(board(path)).items() if name == variable)
    metric, label = query.removeprefix("label_values(").removesuffix(")").split(", ")
    found: list[str] = prometheus.ask(f"label/{label}/values", **{"match[]": metric})
    return found


def _moved(move: Move, found: list[Series], windows: Mapping[str, tuple[float, float]]) -> bool:
    begin, end = windows[move.by]
    near = [{name: [v for v in of if v[0] >= begin - LOOK_BACK_S] for name, of in series.items()} for series in found]
    return moved(move, near, begin, end)


def _both(alert: str, tested: str) -> bool:
    return f"{alert} fires" in tested and f"{alert} is silent" in tested
