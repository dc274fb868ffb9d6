"""What is pinned, and the manifests on disk."""

from pathlib import Path

import pytest

from headrace.audit.findings import Findings
from headrace.audit.manifests import read_manifests
from headrace.audit.pins import compare
from headrace.contract.digests import FED_START
from headrace.contract.training import Manifest
from tests.unit.audit.pieces import TOPIC_IDS, manifest_of


def test_what_is_pinned_and_there_is_right() -> None:
    assert compare([("the plan", "c", TOPIC_IDS)], "c", TOPIC_IDS) == []
    assert compare([], "c", {}) == []


def test_a_topic_that_was_made_again_is_named_with_both_ids() -> None:
    now = {**TOPIC_IDS, "text.clean": "another"}
    (text,) = compare([("the plan", "c", TOPIC_IDS)], "c", now)
    assert "text.clean" in text
    assert "id-of-text.clean" in text
    assert "another" in text


def test_a_topic_that_is_gone_is_named() -> None:
    now = {name: id for name, id in TOPIC_IDS.items() if name != "train.plan"}
    (text,) = compare([("manifest of step 4", "c", TOPIC_IDS)], "c", now)
    assert "manifest of step 4 pins topic train.plan" in text
    assert "does not exist" in text


def test_another_cluster_is_named_and_nothing_else() -> None:
    (text,) = compare([("the plan", "c", TOPIC_IDS)], "d", {})
    assert "cluster c, this is d" in text


def manifest(step: int) -> Manifest:
    return manifest_of("a", step + 1, step, step, FED_START, None)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """Checkpoints 0 and 8, an unfinished 12, and 4 in the history."""
    for step in (0, 8, 12):
        (tmp_path / f"main/step-{step:010d}").mkdir(parents=True)
    for step in (0, 8):
        (tmp_path / f"main/step-{step:010d}/manifest.json").write_bytes(manifest(step).encode())
    (tmp_path / "main/history").mkdir()
    (tmp_path / "main/history/step-0000000004.json").write_bytes(manifest(4).encode())
    return tmp_path / "main"


def test_manifests_of_checkpoints_and_of_the_history_are_read_in_order(run_dir: Path) -> None:
    findings = Findings()
    assert [one.step for one in read_manifests(run_dir, findings)] == [0, 4, 8]
    assert not findings


def test_a_run_that_never_began_has_none(tmp_path: Path) -> None:
    assert read_manifests(tmp_path / "main", Findings()) == []


@pytest.mark.parametrize(("name", "left"), [("step-0000000000/manifest", [4, 8]), ("history/step-0000000004", [0, 8])])
def test_a_manifest_that_cannot_be_read_is_named(run_dir: Path, name: str, left: list[int]) -> None:
    (run_dir / f"{name}.json").write_text("{}")
    findings = Findings()
    assert [one.step for one in read_manifests(run_dir, findings)] == left
    assert name in findings.tallies["unreadable"].examples[0]


def test_a_torn_newest_manifest_is_none(run_dir: Path) -> None:
    (run_dir / "step-0000000012/manifest.json").write_text('{"run"')
    findings = Findings()
    assert [one.step for one in read_manifests(run_dir, findings)] == [0, 4, 8]
    assert not findings


def test_a_newest_manifest_of_another_version_is_named(run_dir: Path) -> None:
    newer = manifest(12).encode().replace(b'"schema":1', b'"schema":2')
    (run_dir / "step-0000000012/manifest.json").write_bytes(newer)
    findings = Findings()
    assert [one.step for one in read_manifests(run_dir, findings)] == [0, 4, 8]
    assert "is of schema 2, this program reads 1" in findings.tallies["unreadable"].examples[0]


def test_a_manifest_under_another_name_is_named(run_dir: Path) -> None:
    (run_dir / "step-0000000012/manifest.json").write_bytes(manifest(8).encode())
    (run_dir / "history/step-0000000004.json").write_bytes(manifest(4).model_copy(update={"run": "other"}).encode())
    findings = Findings()
    assert [one.step for one in read_manifests(run_dir, findings)] == [0, 8]
    assert findings.tallies["wrong_manifest"].count == 2
