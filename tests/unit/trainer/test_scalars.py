"""The event files of TensorBoard: what stands in them, an attempt apart from another, and nothing waits for them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reports import step_report
from tensorboardX.proto.event_pb2 import Event

from headrace.contract.errors import SettingsError
from headrace.contract.settings import load
from trainer import scalars
from trainer.scalars import Scalars, check_library


def events(folder: Path) -> Iterator[Any]:
    """What the event file of a folder holds: length, a checksum of it, the event, a checksum of that."""
    content = b"".join(file.read_bytes() for file in folder.glob("events*"))
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def steps(folder: Path) -> dict[int, dict[str, float]]:
    """The numbers of each step by their names; the first event of a file is the version of the format."""
    reported = list(events(folder))[1:]
    return {event.step: {one.tag: one.simple_value for one in event.summary.value} for event in reported}


def write(folder: Path, numbers: range, **fields: Any) -> None:
    written = Scalars(folder)
    for number in numbers:
        written.step(step_report(step=number, loss=8.0 - number, time=1_000 * number, **fields))
    written.close()


def test_every_number_of_a_step_is_read_back(tmp_path: Path) -> None:
    write(tmp_path / "a", range(3), seconds={"compute": 0.5}, sources={"mail": (10, 40.0), "none": (0, 0.0)})
    found = steps(tmp_path / "a")
    assert sorted(found) == [0, 1, 2]
    assert found[2] == {
        "step/loss": 6.0,
        "step/grad_norm": 1.0,
        "step/learning_rate": pytest.approx(0.1),
        "step/tokens": 1.0,
        "step/tokens_total": 1.0,
        "step/age_s": 0.0,
        "step/ranks": 2.0,
        "step/skipped": 0.0,
        "seconds/compute": 0.5,
        "loss_by_source/mail": 4.0,
    }
    assert [event.wall_time for event in events(tmp_path / "a")][1:] == [0.0, 1.0, 2.0]


def test_an_attempt_that_goes_back_doubles_no_point_of_another(tmp_path: Path) -> None:
    write(tmp_path / "first", range(5))
    before = steps(tmp_path / "first")
    write(tmp_path / "second", range(3, 6))
    assert steps(tmp_path / "first") == before
    assert sorted(steps(tmp_path / "second")) == [3, 4, 5]


def test_what_is_reported_is_written_while_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "WRITE_S", 0.01)
    written = Scalars(tmp_path / "a")
    written.step(step_report(step=7))
    while 7 not in steps(tmp_path / "a"):
        written.ending.wait(0.01)
    assert written.thread.is_alive()
    written.close()


def test_a_disk_that_takes_nothing_is_told_and_ends_no_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a").write_text("no folder")
    write(tmp_path / "a", range(3))
    assert f"no more scalars for TensorBoard in {tmp_path / 'a'}" in caplog.text


def test_a_missing_library_is_named_with_the_setting_and_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scalars, "LIBRARY", "tensorboard_that_nobody_has")
    check_library(load(environment={}).settings)
    wanted = load(assignments=["trainer.tensorboard=true"], environment={}).settings
    with pytest.raises(SettingsError, match=r"trainer\.tensorboard=true needs .*pip install 'headrace\[tensorboard\]'"):
        check_library(wanted)
