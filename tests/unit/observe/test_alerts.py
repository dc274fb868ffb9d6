"""Each alert fires and is silent where it should, a broken rule is noticed, a root silences what follows from it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.contract.settings import ROOT
from tests.prometheus import program

FOLDER = ROOT / "deploy" / "prometheus"
INHIBITIONS = yaml.safe_load((FOLDER / "alertmanager.yml").read_text())["inhibit_rules"]
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
TESTS = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())
PAGE = (ROOT / "docs/observe.md").read_text()
NAMES = [rule["alert"] for rule in RULES]


def promtool(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [program("promtool"), "test", "rules", "alerts_test.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_alert_passes_its_tests() -> None:
    done = promtool(FOLDER)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
@pytest.mark.parametrize("fires", [True, False], ids=["always", "never"])
def test_a_broken_rule_is_noticed(rule: dict[str, Any], fires: bool, tmp_path: Path) -> None:
    """So for each alert there is a case in which it fires and one in which it is silent."""
    expression = f"({rule['expr']}) or vector(1)" if fires else "vector(0) > 1"
    broken = {name: value for name, value in rule.items() if name != "for"} | {"expr": expression}
    own = [case for case in TESTS["tests"] if case["name"].split()[0] == rule["alert"]]
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "broken", "rules": [broken]}]}))
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump({**TESTS, "tests": own}))
    assert promtool(tmp_path).returncode != 0


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_an_alert_says_where_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"].keys() == {"severity", "part", "kind"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["labels"]["kind"] in ("root", "consequence")
    assert len(rule["annotations"]["runbook"]) > 40
    row = next(line for line in PAGE.splitlines() if f"| `{rule['alert']}` |" in line)
    assert plain(rule["annotations"]["runbook"]) in row
    assert plain(rule["annotations"]["summary"]) in row


def plain(text: str) -> str:
    """As it stands in the docs: a label is its name in capitals, a value N."""
    text = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: found[1].upper(), text)
    return re.sub(r"\{\{ \$value.*? \}\}", "N", text)


def matches(matchers: list[str], labels: dict[str, str]) -> bool:
    """Whether labels satisfy all matchers of Alertmanager's: name="value" or name=~"expression"."""
    for matcher in matchers:
        name, like, value = re.fullmatch(r'(\w+)=(~?)"(.*)"', matcher).groups()  # type: ignore[union-attr]
        if not re.fullmatch(value if like else re.escape(value), labels.get(name, "")):
            return False
    return True


def silenced(alerts: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Which of these (alert, part) Alertmanager holds back while all of them fire."""
    labelled = {each: labels_of(*each) for each in alerts}
    return {
        each
        for each, target in labelled.items()
        for other, source in labelled.items()
        for rule in INHIBITIONS
        if other != each
        and matches(rule["source_matchers"], source)
        and matches(rule["target_matchers"], target)
        and all(source.get(name, "") == target.get(name, "") for name in rule.get("equal", ()))
    }


def labels_of(alert: str, part: str) -> dict[str, str]:
    """The labels with which an alert arrives."""
    rule = next(rule for rule in RULES if rule["alert"] == alert)
    return {"alertname": alert, **rule["labels"], "part": part}


CONSEQUENCES = {
    ("JobStalls", "jobs"),
    ("JobMissing", "jobs"),
    ("PlannerStalls", "planner"),
    ("TrainerStalls", "trainer"),
    ("TextOld", "trainer"),
    ("PartRestarts", "planner"),
}
OTHERS = {("DiskFull", "kafka"), ("RejectsJump", "text"), ("CheckpointsFail", "trainer")}
SILENT = {
    ("BrokerDown", "broker"): {*CONSEQUENCES, ("PartDown", "planner"), ("LoopHung", "trainer")},
    ("PartDown", "taskmanager"): {("JobStalls", "jobs"), ("JobMissing", "jobs")},
    ("PartDown", "jobs"): {("JobStalls", "jobs"), ("JobMissing", "jobs")},
    ("PartDown", "planner"): {("PlannerStalls", "planner"), ("PartRestarts", "planner")},
    ("LoopHung", "trainer"): {("TrainerStalls", "trainer"), ("TextOld", "trainer")},
    ("DuplicatesJump", "text"): {("RejectsJump", "text")},
}


@pytest.mark.parametrize("root", SILENT, ids=" of ".join)
def test_a_root_silences_what_follows_from_it_and_nothing_else(root: tuple[str, str]) -> None:
    there = {*CONSEQUENCES, *OTHERS, *SILENT[root]}
    assert silenced({*there, root}) >= SILENT[root]
    assert silenced({*CONSEQUENCES, *OTHERS, root}) == SILENT[root] & {*CONSEQUENCES, *OTHERS}
    assert silenced({*CONSEQUENCES, *OTHERS}) == set()


def test_alertmanager_is_told_what_it_understands() -> None:
    done = subprocess.run(
        [program("amtool"), "check-config", FOLDER / "alertmanager.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(INHIBITIONS)} inhibit rules" in done.stdout
