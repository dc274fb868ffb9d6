"""What a container becomes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from headrace.contract.settings import Settings, load
from headrace.local import container, parts


class Became(Exception):
    """What took this process's place."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(
        environment={"HEADRACE_CONFIG": os.devnull},
        assignments=[f"local.data_dir={tmp_path}", "kafka.brokers=broker:29092", "flink.rest=http://jobmanager:8081"],
    ).settings


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The commands of what was started beside; nothing is, and nothing takes this process's place."""
    commands: list[tuple[str, ...]] = []

    def become(file: str, command: tuple[str, ...], environment: dict[str, str]) -> None:
        raise Became(command, environment)

    def start(command: tuple[str, ...], **_: Any) -> None:
        commands.append(command)

    monkeypatch.setattr(os, "execvpe", become)
    monkeypatch.setattr(os, "chdir", lambda _: None)
    monkeypatch.setattr(subprocess, "Popen", start)
    return commands


@pytest.mark.parametrize("name", container.ALONE)
def test_it_becomes_what_the_local_stack_starts(name: str, settings: Settings, started: list[tuple[str, ...]]) -> None:
    with pytest.raises(Became) as became:
        container.become(name, settings)
    command, environment = became.value.args
    part = parts.build(settings, (name,))[name]
    assert command == part.command + (("--stop-jobs",) if name == parts.JOBS else ())
    assert environment.items() >= part.environment.items()
    assert len(started) == (name == parts.TASKMANAGER), "the workers"


def test_another_command_has_the_parts_environment(settings: Settings, started: list[tuple[str, ...]]) -> None:
    with pytest.raises(Became) as became:
        container.become(parts.JOBS, settings, ["headrace", "jobs", "list"])
    command, environment = became.value.args
    assert command == ("headrace", "jobs", "list")
    assert Path(environment["FLINK_CONF_DIR"], "config.yaml").exists()


def test_an_unknown_part_is_two(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["container", "trainer"])
    assert container.main() == 2
    assert "broker|jobmanager|taskmanager|jobs" in capsys.readouterr().err
