"""Each disk of a running stack becomes full: the stack says so, waits, and goes on by itself; nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.contract.errors import DependencyError, HeadraceError
from headrace.kafka import Cluster
from headrace.local import disk, process
from headrace.local.parts import JOBS, ready
from headrace.local.stack import Stack
from tests.disks import full, mounted
from tests.small_stack import assert_each_trained_once, make_settings, publish

pytestmark = pytest.mark.timeout(1800)
SIZES = {"kafka": "160m", "flink": "64m", "checkpoints": "64m", "logs": "32m", "run": "256m"}
LEAST_MB = 8


@pytest.fixture(scope="module")
def running(jars_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir = tmp_path_factory.mktemp("disks")
    settings = make_settings(data_dir, f"local.least_free_mb={LEAST_MB}")
    with ExitStack() as mounts:
        for name, size in SIZES.items():
            try:
                mounts.enter_context(mounted(data_dir / name, size))
            except PermissionError as error:
                pytest.skip(str(error))
        with Stack(settings) as stack:
            stack.wait_running(600)
            publish(stack.settings, 40)
            yield stack
        assert process.marked(data_dir) == []


def try_to_publish(stack: Stack) -> None:
    """What the broker confirms counts; on a full disk it may confirm nothing."""
    try:
        publish(stack.settings, 40)
    except HeadraceError as error:
        print("not published:", error)


def status(stack: Stack) -> dict[str, object]:
    result = CliRunner().invoke(app, ["status", "--json", "--set", f"local.data_dir={stack.settings.data_dir}"])
    said: dict[str, object] = json.loads(result.output)
    assert said["exit_code"] == result.exit_code
    return said


@pytest.mark.parametrize("name", ["checkpoints", "flink", "logs", "run", "kafka"])
def test_a_full_disk_is_named_waited_for_and_gone_on_after(running: Stack, name: str) -> None:
    settings = running.settings
    path = disk.directories(settings)[name]
    before = {part.name: part.restarts for part in running.state().parts}
    with full(path):
        said = status(running)
        assert said["exit_code"] == 1
        assert any(problem.startswith("disk full") and f"{name} {path}" in problem for problem in said["problems"])
        try_to_publish(running)
        suffer(running, name)
    running.wait_until(lambda: well(running), 600, f"all runs again after {name} was full")
    print(f"{name}: {said['problems']}")
    after = {part.name: part.restarts for part in running.state().parts}
    print(f"{name}: restarts", {part: after[part] - before[part] for part in after if after[part] > before[part]})
    publish(settings, 40)
    assert_each_trained_once(settings)
    assert status(running)["exit_code"] == 0


def suffer(stack: Stack, name: str) -> None:
    """Wait until the full disk has done its worst: the part that needs it has ended or cannot go on."""
    if name == "kafka":
        stack.wait_until(lambda: not answers(stack), 300, "the broker has stopped on its full disk")
    elif name == "checkpoints":
        order = ["checkpoints", "save", "--set", f"local.data_dir={stack.settings.data_dir}"]
        print(CliRunner().invoke(app, order).output)
    elif name == "flink":
        stack.wait_until(lambda: not ready(JOBS, stack.settings), 300, "a job has lost patience with its checkpoints")
    else:
        CliRunner().invoke(
            app, ["restart", "planner", "--timeout", "20", "--set", f"local.data_dir={stack.settings.data_dir}"]
        )


def answers(stack: Stack) -> bool:
    try:
        Cluster(stack.settings, timeout_s=2).wait(2)
    except DependencyError:
        return False
    return True


def well(stack: Stack) -> bool:
    return all(part.state == "running" for part in stack.state().parts) and ready(JOBS, stack.settings)
