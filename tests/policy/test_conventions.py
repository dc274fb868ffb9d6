"""Conventions that keep promises, as tests: read committed everywhere, no silent jumps, no host names, settings."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from headrace import kafka
from headrace.contract.documents import REASONS
from headrace.contract.settings import describe

ROOT = Path(__file__).resolve().parents[2]


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


def ours(path: Path) -> bool:
    return path.relative_to(ROOT).parts[0] in {"headrace", "services", "flink_jobs", "trainer"}


def test_our_readers_read_committed_and_never_jump() -> None:
    config = kafka.consumer_config("nowhere:1")
    assert config["isolation.level"] == "read_committed"
    assert config["auto.offset.reset"] == "error"
    assert config["enable.auto.commit"] is False


@pytest.mark.parametrize("path", [path for path in tracked("*.py") if ours(path)], ids=lambda path: path.name)
def test_every_consumer_is_made_from_our_config(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Consumer":
            assert "consumer_config(" in ast.unparse(node), f"{path}:{node.lineno}"


def tables() -> list[tuple[str, str]]:
    """(name, definition) of every Kafka table in the jobs' SQL."""
    found = [
        (f"{path.parent.name}.{match[1]}", match[0])
        for path in tracked("flink_jobs/*.sql")
        for match in re.finditer(r"CREATE TEMPORARY TABLE (\w+).*?\n\);", path.read_text(), re.S)
    ]
    assert len(found) >= 4, "a source and a sink in each of two jobs"
    return found


@pytest.mark.parametrize(("name", "definition"), tables(), ids=lambda value: value[:30])
def test_flink_tables_read_committed_and_write_exactly_once(name: str, definition: str) -> None:
    said = re.sub(r"\s+", " ", definition)
    if "'scan.startup.mode'" in said:
        assert "'scan.startup.mode' = 'group-offsets'" in said, name
        assert "'properties.isolation.level' = 'read_committed'" in said, name
        assert "'properties.auto.offset.reset' = 'none'" in said, name
    else:
        assert "'sink.delivery-guarantee' = 'exactly-once'" in said, name
        assert "'sink.transaction-naming-strategy' = 'POOLING'" in said, name
        assert "'properties.transaction.timeout.ms'" in said, name


def test_no_registry_host_and_no_path_of_a_machine() -> None:
    hosts = re.compile(r"(pypi|pythonhosted|maven|npmjs|crates)[a-z0-9.-]*[.](org|com|io)(?![a-z])")
    homes = re.compile(r"(?<![A-Za-z.])/(root|home)/[a-z]")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if hosts.search(line) or homes.search(line)
    ]
    assert wrong == []


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    missing = [key for key, default, meaning in describe() if f"| `{key}` | `{default}` | {meaning} |" not in page]
    assert missing == [], "regenerate it: headrace settings --markdown > docs/settings.md"


def test_every_reason_is_documented() -> None:
    page = (ROOT / "docs/rejections.md").read_text()
    assert [reason for reason in REASONS if f"`{reason}`" not in page] == []


def test_no_file_outgrew_its_name() -> None:
    long = {
        path.name: lines for path in tracked("*.py") if ours(path) and (lines := path.read_text().count("\n")) > 400
    }
    assert long == {}
