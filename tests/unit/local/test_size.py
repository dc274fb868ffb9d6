"""A machine, or a container, that is too small is named before anything is started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headrace import doctor
from headrace.cli.main import app
from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings, load
from headrace.local import size


def make(*assignments: str) -> Settings:
    return load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=assignments).settings


def give(monkeypatch: pytest.MonkeyPatch, total: float, available: float, cores: int = 64) -> None:
    monkeypatch.setattr(doctor, "memory", lambda: (total, available))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)))


def test_what_a_stack_takes_grows_with_its_settings() -> None:
    assert size.needed(make()) == pytest.approx(doctor.memory_needed())
    assert size.needed(make("trainer.ranks=4")) == pytest.approx(doctor.memory_needed() + 1)
    assert size.needed(make("flink.taskmanager_memory_mb=3072")) == pytest.approx(doctor.memory_needed() + 1)


def test_a_machine_that_is_large_enough_is_not_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, 16, 12)
    assert size.warnings(make(), stack_to_come=True) == []


def test_memory_that_others_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, 16, 3)
    (said,) = size.warnings(make(), stack_to_come=True)
    assert said.startswith("3.0 GiB of memory are available, the stack may take 6.0")
    assert size.warnings(make(), stack_to_come=False) == []


def test_more_ranks_than_cores_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, 16, 12, cores=2)
    (said,) = size.warnings(make("trainer.ranks=3"), stack_to_come=True)
    assert said.startswith("3 ranks with 1 threads each share 2 CPU cores")


def test_up_refuses_a_container_that_can_never_hold_the_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    give(monkeypatch, 4, 4)
    result = CliRunner().invoke(app, ["up", "--ranks", "8", "--set", f"local.data_dir={tmp_path / 'data'}"])
    assert isinstance(result.exception, DependencyError)
    assert "a stack of 8 ranks takes 9.0 GiB, this machine or container has 4.0" in str(result.exception)
    assert not (tmp_path / "data").exists()
