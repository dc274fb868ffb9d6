"""What the committed dashboards and rules ask of Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from headrace.contract.settings import ROOT

FILES = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
GRAFANAS = {"$__rate_interval": "RATE", "$__interval": "RATE", "$__range": "RATE"}


def board(path: Path) -> dict[str, Any]:
    """A dashboard as it stands in its file."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def panels(said: dict[str, Any]) -> list[dict[str, Any]]:
    """All panels of a dashboard."""
    return [panel for panel in said["panels"] if panel["type"] != "row"]


def expressions(said: dict[str, Any]) -> list[tuple[str, str]]:
    """(title of the panel, expression) of everything that a dashboard asks."""
    return [(panel["title"], target["expr"]) for panel in panels(said) for target in panel["targets"]]


def variables(said: dict[str, Any]) -> dict[str, str]:
    """Name and query of each variable but the data source."""
    return {one["name"]: one["query"] for one in said["templating"]["list"] if one["type"] == "query"}


def substituted(expression: str, rate: str = "1m") -> str:
    """An expression as Grafana sends it, with every variable at All."""
    for name in GRAFANAS:
        expression = expression.replace(name, rate)
    return re.sub(r"\$\w+", ".*", expression)


def metric_names(expression: str) -> set[str]:
    """The names of our metrics and of kafka_exporter's in an expression."""
    return set(re.findall(r"\b(?:headrace|kafka)_\w+", expression))
