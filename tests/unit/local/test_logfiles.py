"""Logs are bounded while their writers go on writing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from headrace.local import logfiles


def write(descriptor: int, line: bytes) -> None:
    assert os.write(descriptor, line) == len(line)


def test_a_large_log_is_set_aside_under_its_writer(tmp_path: Path) -> None:
    log = logfiles.open_log(tmp_path, "part")
    path = logfiles.path_of(tmp_path, "part")
    for number in range(4):
        write(log, b"%d\n" % number)
        logfiles.bound(tmp_path, most=4)
    os.close(log)
    assert (path.read_bytes(), logfiles.older(path).read_bytes()) == (b"", b"2\n3\n")
    assert sorted(path.name for path in path.parent.iterdir()) == ["part.log", "part.log.1"]


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = logfiles.open_log(tmp_path, "part")
    write(log, b"123")
    os.close(log)
    logfiles.bound(tmp_path, most=4)
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["part.log"]


def test_without_room_for_a_copy_it_is_only_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"torn")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    log = logfiles.open_log(tmp_path, "part")
    write(log, b"12345")
    logfiles.bound(tmp_path, most=4)
    write(log, b"6")
    os.close(log)
    path = logfiles.path_of(tmp_path, "part")
    assert path.read_bytes() == b"6"
    assert not logfiles.older(path).exists()


def test_old_logs_of_rocksdb_go(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for number in range(logfiles.ROCKSDB_LOGS + 2):
        path = tmp_path / "logs" / f"operator-{number}_LOG"
        path.touch()
        os.utime(path, (number, number))
    logfiles.bound(tmp_path)
    left = {path.name for path in (tmp_path / "logs").iterdir()}
    assert len(left) == logfiles.ROCKSDB_LOGS
    assert left.isdisjoint({"operator-0_LOG", "operator-1_LOG"})
