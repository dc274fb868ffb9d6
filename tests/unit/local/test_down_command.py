"""`headrace down --wipe` names what it deletes, asks first, and touches nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headrace.cli.main import app
from headrace.contract.errors import SettingsError
from headrace.contract.settings import load
from headrace.local import datadir


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "kafka").mkdir(parents=True)
    (folder / "kafka" / "records").write_bytes(bytes(3 * 1024 * 1024))
    (folder / "notes.txt").write_text("the operator's own")
    datadir.claim(load(environment={"HEADRACE_LOCAL__DATA_DIR": str(folder), "HEADRACE_CONFIG": os.devnull}).settings)
    return folder


def down(data_dir: Path, *arguments: str, answer: str = "", config: str = os.devnull) -> Result:
    settings = ["--set", f"local.data_dir={data_dir}", "--config", config]
    return CliRunner().invoke(app, ["down", *arguments, *settings], input=answer)


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_without_a_yes_nothing_is_deleted(data_dir: Path, answer: str) -> None:
    before = sorted(data_dir.rglob("*"))
    result = down(data_dir, "--wipe", answer=answer)
    assert result.exit_code == 1
    assert f"{data_dir}/kafka  3 MiB" in result.output
    assert "down" not in result.output.splitlines()[-1]
    assert sorted(data_dir.rglob("*")) == before


@pytest.mark.parametrize(("arguments", "answer"), [(["--wipe"], "y\n"), (["--wipe", "--yes"], "")])
def test_what_stacks_keep_is_deleted_and_nothing_else(data_dir: Path, arguments: list[str], answer: str) -> None:
    result = down(data_dir, *arguments, answer=answer)
    assert result.exit_code == 0, result.output
    assert [path.name for path in data_dir.iterdir()] == ["notes.txt"]
    assert "deleted kafka, headrace.json" in result.output
    assert "deleted nothing" in down(data_dir, "--wipe").output


def test_a_directory_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "syslog").touch()
    result = down(tmp_path, "--wipe", "--yes")
    assert isinstance(result.exception, SettingsError)
    assert "has no headrace.json" in str(result.exception)
    assert (tmp_path / "logs" / "syslog").exists()


def test_what_lies_elsewhere_stays_and_is_named(data_dir: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    result = down(data_dir, "--wipe", "--yes", "--set", f"trainer.checkpoint_dir={weights}")
    assert f"{weights} (trainer.checkpoint_dir) lies elsewhere and stays" in result.output
    assert weights.exists()
