"""A disk without room is named, with everything that lies on it."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings, load
from headrace.local import disk, stack

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environment={"HEADRACE_LOCAL__DATA_DIR": str(tmp_path), "HEADRACE_CONFIG": os.devnull}).settings


def leave(monkeypatch: pytest.MonkeyPatch, mib: int, below: str) -> None:
    """So much room where a path has `below` in it, plenty elsewhere."""

    def usage(path: Path) -> Usage:
        return Usage(0, 0, (mib if below in str(path) else 1_000_000) * disk.MIB)

    monkeypatch.setattr(shutil, "disk_usage", usage)


def test_plenty_is_not_mentioned(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(monkeypatch, 1024, "")
    assert disk.short(settings) == []


@pytest.mark.parametrize(("room", "said"), [(63, "disk full: 63 MiB"), (1023, "disk nearly full: 1,023 MiB")])
def test_one_disk_is_one_line_with_all_that_lies_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, room: int, said: str
) -> None:
    leave(monkeypatch, room, "")
    (line,) = disk.short(settings)
    assert line.startswith(said)
    assert all(f"{name} {path}" in line for name, path in disk.directories(settings).items())


@pytest.mark.parametrize("name", ["kafka", "flink", "checkpoints", "logs", "run"])
def test_each_directory_is_looked_at_and_up_refuses(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    disk.directories(settings)[name].mkdir()
    leave(monkeypatch, 1, f"/{name}")
    with pytest.raises(DependencyError, match=f"disk full: 1 MiB free for {name} "):
        stack.launch(settings)
    assert not (settings.data_dir / "headrace.json").exists()
