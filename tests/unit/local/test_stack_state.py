"""A stack runs as long as somebody holds its lock, whatever its state file says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from headrace.contract.errors import ContractError, DependencyError, HeadraceError, SettingsError
from headrace.contract.settings import Settings, load
from headrace.local import logfiles, stack, state
from headrace.local.state import PartState, State


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environment={"HEADRACE_LOCAL__DATA_DIR": str(tmp_path), "HEADRACE_CONFIG": os.devnull}).settings


def some_state(settings: Settings, *parts: PartState) -> State:
    return State(os.getpid(), "running", 1.5, settings.environment(), parts)


def test_what_is_written_is_read(settings: Settings) -> None:
    before = some_state(settings, PartState("broker", "failed", None, 2.0, 3, 1, ("last", "words"), "here:1"))
    state.write(before, settings.data_dir)
    assert state.read(settings.data_dir) == before
    assert before.settings == settings
    assert before.failed == before.parts


def test_stale_state_is_no_stack(settings: Settings) -> None:
    state.write(some_state(settings), settings.data_dir)
    assert state.running(settings.data_dir) is None
    assert list(stack.stopping(settings)) == []


def test_held_lock_is_a_stack_and_forbids_a_second(settings: Settings) -> None:
    state.write(some_state(settings), settings.data_dir)
    lock = state.try_lock(settings.data_dir)
    assert lock is not None
    try:
        assert state.running(settings.data_dir) == some_state(settings)
        assert state.try_lock(settings.data_dir) is None
        with pytest.raises(DependencyError, match="runs or starts"):
            stack.launch(settings)
    finally:
        os.close(lock)
    assert state.running(settings.data_dir) is None


def test_a_child_keeps_the_lock_until_it_is_killed(settings: Settings) -> None:
    lock = state.try_lock(settings.data_dir)
    assert lock is not None
    child = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    os.close(lock)
    assert state.try_lock(settings.data_dir) is None
    child.kill()
    child.wait()
    again = state.try_lock(settings.data_dir)
    assert again is not None
    os.close(again)


def test_each_order_is_taken_once_and_in_turn(settings: Settings) -> None:
    state.request(settings.data_dir, do="restart", part="planner")
    state.request(settings.data_dir, do="ranks", ranks=3)
    orders = state.take_requests(settings.data_dir)
    assert orders == [{"do": "restart", "part": "planner"}, {"do": "ranks", "ranks": 3}]
    assert state.take_requests(settings.data_dir) == []


@pytest.mark.parametrize(("code", "kind"), [(2, SettingsError), (4, ContractError), (1, DependencyError)])
def test_a_part_that_failed_for_good_is_raised_with_its_last_lines(
    settings: Settings, code: int, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=f"(?s)planner failed with exit code {code}.*its last line"):
        stack.check(some_state(settings, PartState("planner", "failed", exit_code=code, error=("its last line",))))


def test_settings_of_another_broker_are_not_passed_over(settings: Settings) -> None:
    other = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"brokers": "elsewhere:9092"})})
    with pytest.raises(SettingsError, match=r"kafka\.brokers is elsewhere:9092"):
        stack.settle(other)


def test_a_data_directory_that_cannot_be_written_is_named(settings: Settings) -> None:
    (settings.data_dir / "run").write_text("a file in place of the folder")
    with pytest.raises(DependencyError, match=rf"{settings.data_dir} cannot be written.*local\.data_dir"):
        stack.launch(settings)
    assert state.running(settings.data_dir) is None


def test_asking_whether_a_stack_runs_writes_nothing(settings: Settings) -> None:
    assert state.running(settings.data_dir) is None
    assert list(stack.stopping(settings)) == []
    assert list(settings.data_dir.iterdir()) == []


def test_a_process_that_was_given_a_dead_supervisors_number_is_spared(settings: Settings) -> None:
    bystander = subprocess.Popen(["sleep", "60"])
    lock = state.try_lock(settings.data_dir)
    assert lock is not None
    try:
        state.write(State(bystander.pid, "running", 1.5, settings.environment(), ()), settings.data_dir)
        with pytest.raises(HeadraceError, match=f"process {bystander.pid} is no supervisor"):
            list(stack.stopping(settings))
        assert bystander.poll() is None
    finally:
        os.close(lock)
        bystander.kill()
        bystander.wait()


@pytest.mark.parametrize(("code", "kind"), [(2, SettingsError), (3, DependencyError), (4, ContractError)])
def test_the_supervisors_last_words_are_raised(settings: Settings, code: int, kind: type[HeadraceError]) -> None:
    log = logfiles.open_log(settings.data_dir, "supervisor")
    os.write(log, b'{"event":"earlier"}\n{"event":"JAVA_HOME is wrong","exit_code":%d}\n' % code)
    os.close(log)
    with pytest.raises(kind, match=r"^JAVA_HOME is wrong$"):
        list(stack.starting(settings, 1))


def test_a_part_that_ends_again_and_again_while_the_stack_starts_is_told(settings: Settings) -> None:
    lock = state.try_lock(settings.data_dir)
    assert lock is not None
    part = PartState("broker", "restarting", restarts=stack.HOPELESS, exit_code=1, error=("No space left on device",))
    state.write(State(os.getpid(), "starting", 1.5, settings.environment(), (part,)), settings.data_dir)
    try:
        with pytest.raises(DependencyError, match=r"(?s)broker restarting with exit code 1.*No space left"):
            list(stack.starting(settings, 60))
    finally:
        os.close(lock)


def test_without_java_nothing_is_started(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with pytest.raises(DependencyError, match="JAVA_HOME is /nowhere"):
        stack.launch(settings)
    assert state.running(settings.data_dir) is None
    assert not logfiles.path_of(settings.data_dir, "supervisor").exists()
