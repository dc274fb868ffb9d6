"""An upgrade sets a state folder aside in three moves; wherever it is interrupted, the next start finds a whole one."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.contract.settings import Settings, load
from headrace.jobs.aside import finish_setting_aside, prepare, set_aside
from headrace.jobs.job import CLEAN, PINNED, Pinned
from headrace.jobs.notes import COUNTED, Begun, Replaced

OLD = Pinned(cluster="c", topics={"text.raw": "id"}, plan="old")
NEW = Pinned(cluster="c", topics={"text.raw": "id"}, plan="")
AT = {0: 12, 1: 7}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = load(environment={"HEADRACE_CONFIG": "/dev/null"}, assignments=[f"local.data_dir={tmp_path}"]).settings
    folder = CLEAN.folder(made)
    (folder / "savepoints/savepoint-1").mkdir(parents=True)
    OLD.write(folder / PINNED)
    (folder / COUNTED).write_text("counted")
    return made


def plan_of(folder: Path) -> str:
    pinned = Pinned.read(folder / PINNED)
    assert pinned is not None
    return pinned.plan


def test_all_moves(settings: Settings) -> None:
    folder = CLEAN.folder(settings)
    aside = set_aside(settings, CLEAN, AT, NEW, now=0.0)
    assert aside.name == "clean.1970-01-01T000000"
    assert (aside / "savepoints/savepoint-1").exists()
    assert plan_of(aside) == "old"
    assert Replaced.read(aside / Replaced.FILE) == Replaced(positions=AT, time=0.0)
    assert Begun.read(folder / Begun.FILE) == Begun(positions=AT, before=aside.name, plan="old", time=0.0)
    assert (folder / COUNTED).read_text() == "counted"
    assert not (folder / "savepoints").exists()
    finish_setting_aside(settings, CLEAN)
    assert (folder / Begun.FILE).exists()


def test_interrupted_before_the_old_state_was_moved(settings: Settings) -> None:
    folder = CLEAN.folder(settings)
    prepare(settings, CLEAN, AT, NEW, folder.with_name("clean.x"), now=0.0)
    finish_setting_aside(settings, CLEAN)
    assert plan_of(folder) == "old"
    assert not (folder / Replaced.FILE).exists()
    assert not folder.with_suffix(".new").exists()


def test_interrupted_between_the_two_renames(settings: Settings) -> None:
    folder = CLEAN.folder(settings)
    aside = folder.with_name("clean.x")
    prepare(settings, CLEAN, AT, NEW, aside, now=0.0)
    folder.rename(aside)
    finish_setting_aside(settings, CLEAN)
    assert plan_of(folder) == ""
    assert (folder / Begun.FILE).exists()
    assert plan_of(aside) == "old"


def test_interrupted_while_the_new_folder_was_written(settings: Settings) -> None:
    folder = CLEAN.folder(settings)
    folder.with_suffix(".new").mkdir()
    finish_setting_aside(settings, CLEAN)
    assert plan_of(folder) == "old"
    assert not folder.with_suffix(".new").exists()
    set_aside(settings, CLEAN, AT, NEW, now=1.0)
    assert plan_of(folder) == ""
