"""A data directory that is newer, of someone else, or moved with state that names its old place, is not touched."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.settings import Settings, load
from headrace.flink import HEADER, MAGIC
from headrace.local import datadir


def make(folder: Path) -> Settings:
    return load(environment={"HEADRACE_LOCAL__DATA_DIR": str(folder), "HEADRACE_CONFIG": os.devnull}).settings


def start(settings: Settings) -> None:
    datadir.check(settings)
    settings.data_dir.mkdir(exist_ok=True)
    datadir.claim(settings)


def save(settings: Settings, place: str, number: int) -> None:
    folder = settings.flink_state_dir / "clean" / place
    folder.mkdir(parents=True)
    (folder / "_metadata").write_bytes(HEADER.pack(MAGIC, 4, number))


def rewrite(settings: Settings, **values: object) -> None:
    path = settings.data_dir / datadir.NAME
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **values}))


def test_the_first_start_writes_down_what_this_is(tmp_path: Path) -> None:
    settings = make(tmp_path / "data")
    assert datadir.made(settings.data_dir) is None
    start(settings)
    before = datadir.made(settings.data_dir)
    assert before is not None
    assert before == datadir.now(settings)
    assert (before.layout, before.flink) == (1, "2.3.0")
    start(settings)


@pytest.mark.parametrize(("name", "newer"), [("layout", 2), ("kafka", "4.10.0"), ("flink", "3.0")])
def test_newer_data_is_refused_and_both_sides_are_named(tmp_path: Path, name: str, newer: object) -> None:
    settings = make(tmp_path)
    start(settings)
    rewrite(settings, **{name: newer})
    with pytest.raises(ContractError, match=rf"{name} {newer}, this is Headrace with {name} "):
        datadir.check(settings)


def test_older_data_is_taken_over(tmp_path: Path) -> None:
    settings = make(tmp_path)
    start(settings)
    rewrite(settings, kafka="4.0.0", flink="2.2.1")
    start(settings)
    assert datadir.made(tmp_path) == datadir.now(settings)


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    settings = make(tmp_path)
    start(settings)
    (tmp_path / datadir.NAME).write_text('{"layout": 1')
    with pytest.raises(ContractError, match=r"headrace\.json cannot be read"):
        datadir.check(settings)


def test_folders_of_someone_else_are_left_alone(tmp_path: Path) -> None:
    for name in ("logs", "lib"):
        (tmp_path / name).mkdir()
    with pytest.raises(SettingsError, match="holds logs of something else"):
        datadir.check(make(tmp_path))


def moved(tmp_path: Path, newest: str) -> tuple[Settings, Settings]:
    before, here = make(tmp_path / "before"), make(tmp_path / "here")
    start(before)
    save(before, "checkpoints/0a/chk-7", 7)
    save(before, newest, 8)
    before.data_dir.rename(here.data_dir)
    return before, here


def test_data_that_was_moved_after_a_savepoint_goes_on(tmp_path: Path) -> None:
    _, here = moved(tmp_path, "savepoints/savepoint-1")
    start(here)
    found = datadir.made(here.data_dir)
    assert found is not None
    assert found.flink_state == str(here.flink_state_dir)


def test_data_that_was_moved_without_one_is_refused_until_the_old_path_leads_to_it(tmp_path: Path) -> None:
    before, here = moved(tmp_path, "checkpoints/0a/chk-8")
    with pytest.raises(ContractError, match=f"(?s)moved from {before.flink_state_dir}.*chk-8.*ln -s"):
        datadir.check(here)
    old = tmp_path / "before"
    old.symlink_to(here.data_dir)
    start(here)
    old.unlink()
    with pytest.raises(ContractError, match="moved from"):  # its state still names the old path
        datadir.check(here)
