"""Dashboards, as far as they can be judged without a server: from their generator, in its schema, to be parsed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from headrace.contract import metrics
from headrace.contract.settings import ROOT
from tests.dashboards import FILES, RULES, board, expressions, metric_names, panels, substituted, variables

BOARDS = {path.stem: json.loads(path.read_text()) for path in FILES}


def test_they_are_what_the_generator_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "deploy.grafana", str(tmp_path)], cwd=ROOT, check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in FILES}, "write them anew: python -m deploy.grafana"


def as_read(said: dict[str, Any]) -> dict[str, Any]:
    """What the schema's own classes take of a dashboard."""
    again: dict[str, Any] = json.loads(json.dumps(Dashboard.from_json(said), cls=JSONEncoder))
    return again


@pytest.mark.parametrize("name", BOARDS)
def test_the_schema_takes_each_field_of_it(name: str) -> None:
    said = BOARDS[name]
    assert as_read(said) == said
    assert as_read({**said, "misspelt": 1}) != {**said, "misspelt": 1}
    assert said["schemaVersion"] >= 41


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_expression_parses(path: Path) -> None:
    found = expressions(board(path))
    assert found
    for _, expression in found:
        promql_parser.parse(substituted(expression))
    with pytest.raises(ValueError, match=r".*"):
        promql_parser.parse("sum(rate(up[5s])")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_panel_asks_a_question_and_has_all_that_it_needs(path: Path) -> None:
    said = board(path)
    titles = [panel["title"] for panel in panels(said)]
    assert len(set(titles)) == len(titles)
    for panel in panels(said):
        assert panel["title"].endswith("?"), panel["title"]
        assert panel["description"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["legendFormat"]
            assert not re.search(r"rate\([^[]*\[(?!\$__rate_interval|\d+m\])", target["expr"]), target["expr"]
    used = set(re.findall(r"\$(\w+)", json.dumps([panel["targets"] for panel in panels(said)])))
    assert {name for name in used if not name.startswith("__")} == set(variables(said))


def test_the_overview_fits_a_screen() -> None:
    assert len(panels(BOARDS["headrace-overview"])) <= 12


def test_grafana_finds_them() -> None:
    provider = yaml.safe_load((ROOT / "deploy/grafana/provisioning/dashboards/headrace.yml").read_text())
    (place,) = {one["options"]["path"] for one in provider["providers"]}
    mounts = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{place}:ro" in mounts


def test_each_metric_is_explained() -> None:
    page = (ROOT / "docs/observe.md").read_text()
    rows = [f"| `{each.name}` | {each.kind} | {', '.join(each.labels)} |" for each in metrics.ALL]
    assert [row for row in rows if row not in page] == []


def test_each_metric_of_ours_is_looked_at() -> None:
    shown: list[Any] = [expression for path in FILES for _, expression in expressions(board(path))]
    named = {name for expression in [*shown, *(rule["expr"] for rule in RULES)] for name in metric_names(expression)}
    unused = [metric.name for metric in metrics.ALL if metric.name not in named]
    print(f"metrics {len(metrics.ALL)} unused {len(unused)}")
    assert unused == []
    unknown = {name for name in named if name.startswith("headrace_")} - {metric.name for metric in metrics.ALL}
    assert unknown == set(), "no process of ours has such a metric"
