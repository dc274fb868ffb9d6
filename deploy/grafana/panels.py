"""What a dashboard is made of, in our words, and how grafana-foundation-sdk says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models import common, dashboard

WIDTH, HEIGHT = 12, 8
"""Of a panel, in Grafana's grid of 24 columns."""
SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
RATE = "[$__rate_interval]"
CLEAN = '{stage="clean"}'
REJECTED = '{stage="clean",outcome="rejected"}'
RUN = '{run=~"$run"}'
"""Pieces of expressions that several dashboards share."""
VARIABLES = {
    "run": ("Run", "label_values(headrace_trainer_step, run)"),
    "source": ("Source", "label_values(headrace_source_documents_total, source)"),
    "topic": ("Topic", "label_values(kafka_topic_partitions, topic)"),
}
"""Name: label, query. A dashboard has those that its expressions name."""


@dataclass(frozen=True)
class Panel:
    """One question and what answers it: (expression, legend) each. `why`: what to see in it, or what to do."""

    question: str
    why: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: Literal["lines", "stack", "now"] = "lines"
    width: int = WIDTH

    @property
    def text(self) -> str:
        return " ".join(expression for expression, _ in self.queries)


@dataclass(frozen=True)
class Board:
    """One dashboard; `uid` is its place in Grafana's addresses, and the name of its file."""

    uid: str
    title: str
    about: str
    panels: Sequence[Panel]

    @property
    def variables(self) -> list[str]:
        return [name for name in VARIABLES if any(f"${name}" in panel.text for panel in self.panels)]


def build(board: Board) -> dashboard.Dashboard:
    """The dashboard as Grafana's schema has it."""
    made = (
        builders.Dashboard(board.title)
        .uid(board.uid)
        .description(board.about)
        .tags(["headrace"])
        .readonly()
        .refresh("5s")
        .time("now-30m", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    )
    for name in board.variables:
        label, query = VARIABLES[name]
        made = made.with_variable(
            builders.QueryVariable(name)
            .label(label)
            .query(query)
            .datasource(SOURCE)
            .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
            .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    for panel in board.panels:
        made = made.with_panel(_panel(panel))
    return made.build()


def _panel(panel: Panel) -> timeseries.Panel | stat.Panel:
    made = _stat() if panel.kind == "now" else _lines(stacked=panel.kind == "stack")
    made = (
        made.title(panel.question)
        .description(panel.why)
        .datasource(SOURCE)
        .unit(panel.unit)
        .span(panel.width)
        .height(HEIGHT)
    )
    for number, (expression, legend) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        made = made.with_target(query.instant() if panel.kind == "now" else query.range())
    return made


def _stat() -> stat.Panel:
    return (
        stat.Panel()
        .text_mode(common.BigValueTextMode.VALUE_AND_NAME)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
    )


def _lines(stacked: bool) -> timeseries.Panel:
    made = (
        timeseries.Panel()
        .min(0)
        .line_width(1)
        .fill_opacity(60 if stacked else 5)
        .show_points(common.VisibilityMode.NEVER)
        .legend(
            common_builders.VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.RIGHT)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
    )
    if not stacked:
        return made
    return made.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
