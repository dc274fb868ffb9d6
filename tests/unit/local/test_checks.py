"""What the doctor says of jars, data directory and disks once everything is installed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import orjson
import pytest

from headrace.contract.settings import Settings, load
from headrace.local import checks, datadir, jars
from headrace.local.jars import Jar

CONTENT = b"a jar"
JAR, OTHER = (Jar("kafka", "org.example", name, "1.0", hashlib.sha256(CONTENT).hexdigest()) for name in ("one", "two"))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(jars, "locked", lambda: [JAR, OTHER])
    for jar in (JAR, OTHER):
        path = jar.path(tmp_path / "cache")
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
    values = [f"local.data_dir={tmp_path / 'data'}", f"local.cache_dir={tmp_path / 'cache'}"]
    return load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=values).settings


def test_whole_jars_are_ok(settings: Settings) -> None:
    check = checks.check_jars(settings)
    assert (check.ok, check.found) == (True, "2 there")


@pytest.mark.parametrize("content", [CONTENT[:-1], b""])
def test_a_truncated_jar_is_found(settings: Settings, content: bytes) -> None:
    OTHER.path(settings.cache_dir).write_bytes(content)
    check = checks.check_jars(settings)
    assert not check.ok
    assert "1 of 2 are not in" in check.found


def test_without_jars_nothing_is_wrong_yet(settings: Settings) -> None:
    for jar in (JAR, OTHER):
        jar.path(settings.cache_dir).unlink()
    assert checks.check_jars(settings).ok


def test_newer_data_is_found(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert checks.check_data(settings).found == "no stack yet"
    settings.data_dir.mkdir()
    datadir.claim(settings)
    assert checks.check_data(settings).ok
    path = settings.data_dir / datadir.NAME
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), "layout": 9}))
    check = checks.check_data(settings)
    assert not check.ok
    assert "layout 9, this is Headrace with layout 1" in check.found


def test_a_full_disk_is_found(settings: Settings) -> None:
    more = settings.model_copy(update={"local": settings.local.model_copy(update={"least_free_mb": 1 << 40})})
    assert checks.check_disks(settings).ok
    assert checks.check_disks(more).found.startswith("disk full")
