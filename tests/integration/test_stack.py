"""The whole stack, its real parts, supervised: down and up again, each process killed, the supervisor killed.

The documents are few and the model is tiny; what counts is that each document is trained exactly once in the end.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from small_stack import assert_each_trained_once, make_settings, publish
from typer.testing import CliRunner, Result

from headrace.cli.main import app
from headrace.contract.errors import ContractError, SettingsError
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings
from headrace.contract.topics import PLAN
from headrace.kafka import Cluster, coordinate
from headrace.local import parts, process, state
from headrace.local.parts import ready
from headrace.local.stack import Stack
from headrace.local.status import last_trained

pytestmark = pytest.mark.timeout(600)
KILLED = ("jobs", "broker")
"""The others: tests/fault, tests/soak."""


@pytest.fixture(scope="module")
def running(jars_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir = tmp_path_factory.mktemp("whole")
    with Stack(make_settings(data_dir)) as whole:
        whole.wait_running(300)
        yield whole
    assert process.marked(data_dir) == []


def records(settings: Settings, topic: str) -> Iterator[object]:
    cluster = Cluster(settings)
    return cluster.read_all(topic, {}, cluster.settled_ends(topic, 30))


def headrace(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--set", f"local.data_dir={data_dir}"])


def claims(pid: int) -> list[str]:
    """The claims on free ports that a process holds."""
    return [one.laddr for one in psutil.Process(pid).net_connections("unix") if "@headrace-ports-" in one.laddr]


def test_status_and_a_second_up_say_that_it_runs(running: Stack) -> None:
    data_dir = running.settings.data_dir
    assert {"supervisor", *parts.ALL, "rank0", "rank1"} == set(running.pids)
    status = headrace(data_dir, "status", "--json")
    assert status.exit_code == 0, status.output
    said = json.loads(status.output)
    assert (said["running"], said["exit_code"], said["problems"]) == (True, 0, [])
    assert set(said["lag"]) == {"clean", "tokenize", "planner", "trainer"}
    assert all(room > 0 for room in said["disk_free"].values())
    assert {part["name"]: part["state"] for part in said["parts"]} == dict.fromkeys(parts.ALL, "running")
    live = headrace(data_dir, "top", "--looks", "2", "--every", "0.2")
    assert (live.exit_code, "text.raw" in live.output, "exporter" in live.output) == (0, True, True), live.output
    before = running.pids
    second = headrace(data_dir, "up")
    assert second.exit_code == 0, second.output
    assert "already" in second.output
    assert running.pids == before


def test_a_part_is_restarted_on_order_and_waited_for(running: Stack) -> None:
    data_dir = running.settings.data_dir
    before = running.pids
    for name in (parts.PLANNER, parts.JOBS):
        restarted = headrace(data_dir, "restart", name)
        assert restarted.exit_code == 0, restarted.output
        assert f"{name} runs again after" in restarted.output
        assert running.pids[name] != before[name]
    unknown = headrace(data_dir, "restart", "brocker")
    assert isinstance(unknown.exception, SettingsError)
    assert "broker, jobmanager" in str(unknown.exception)
    told = headrace(data_dir, "logs", "supervisor", "--since", "10m")
    assert "ordered order={'do': 'restart', 'part': 'planner'}" in told.output


@pytest.mark.parametrize("name", KILLED)
def test_a_killed_process_comes_back_and_nothing_is_lost(running: Stack, name: str) -> None:
    settings = running.settings
    part = "trainer" if name.startswith("rank") else name
    restarts = {each.name: each.restarts for each in running.state().parts}[part]
    publish(settings, 20)
    killed = psutil.Process(running.pids[name])
    running.kill(name)

    def back() -> bool:
        now = running.state().parts
        again = any(each.name == part and each.restarts == restarts + 1 for each in now)
        return again and all(each.state == "running" for each in now) and ready(parts.JOBS, settings)

    running.wait_until(back, 180, f"{name} is back")
    assert not killed.is_running()
    publish(settings, 20)
    assert_each_trained_once(settings)


def test_up_on_a_running_stack_resizes_the_trainer(running: Stack) -> None:
    settings = running.settings
    for ranks in (1, 3):
        resized = headrace(settings.data_dir, "up", "--ranks", str(ranks))
        assert resized.exit_code == 0, resized.output
        assert f"the trainer has {ranks} ranks instead of" in resized.output
        assert {name for name in running.pids if name.startswith("rank")} == {f"rank{rank}" for rank in range(ranks)}
        publish(settings, 20)
        assert_each_trained_once(settings)
    trained = last_trained(Cluster(settings), "main")
    assert trained is not None
    assert trained.ranks == 3


def test_down_in_mid_stream_and_up_again_goes_on(running: Stack) -> None:
    settings = running.settings
    publish(settings, 60)
    planned = [decode_plan(message.value(), coordinate(message)) for message in records(settings, PLAN)]
    down = headrace(settings.data_dir, "down")
    assert down.exit_code == 0, down.output
    assert process.marked(settings.data_dir) == []
    assert headrace(settings.data_dir, "status").exit_code == 3
    again = headrace(settings.data_dir, "down")
    assert again.exit_code == 0
    assert "nothing runs" in again.output
    for job in ("clean", "tokenize"):
        assert list((settings.flink_state_dir / job / "savepoints").glob("*/_metadata")), "stopped without a savepoint"
    with Stack(make_settings(settings.data_dir)) as second:
        second.wait_running(300)
        publish(second.settings, 60)
        assert_each_trained_once(second.settings)
        later = [decode_plan(message.value(), coordinate(message)) for message in records(second.settings, PLAN)]
    assert later[: len(planned)] == planned
    steps = [record.step for record in later if isinstance(record, Step)]
    assert steps == list(range(len(steps)))
    assert len(later) > len(planned)


def test_nothing_outlives_a_killed_supervisor_and_up_works_again(jars_there: None, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    with Stack(settings, (parts.BROKER, parts.JOBMANAGER, parts.TASKMANAGER)) as first:
        first.wait_running(120)
        cluster_id = Cluster(first.settings).id()
        assert claims(first.pids["supervisor"])
        assert not any(claims(one.pid) for one in process.marked(tmp_path))
        first.kill("supervisor")
        deadline = time.monotonic() + 60
        while process.marked(tmp_path):
            assert time.monotonic() < deadline, process.marked(tmp_path)
            time.sleep(0.2)
        assert state.running(tmp_path) is None
    with Stack(settings, (parts.BROKER,)) as second:
        second.wait_running(120)
        assert Cluster(second.settings).id() == cluster_id


def test_a_stack_ends_with_its_owner(jars_there: None, tmp_path: Path) -> None:
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from small_stack import make_settings
from headrace.local.stack import Stack
from headrace.local.status import last_trained
with Stack(make_settings(Path({str(tmp_path)!r})), ("broker",)) as stack:
    stack.wait_running(120)
    print("runs", flush=True)
    time.sleep(600)
"""
    owner = psutil.Popen([sys.executable, "-c", program], stdout=-1)
    assert owner.stdout.readline() == b"runs\n"
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    deadline = time.monotonic() + 60
    while state.running(tmp_path) is not None or process.marked(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_contract_that_a_restart_cannot_mend_is_shown_and_not_retried(jars_there: None, tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    folder = settings.flink_state_dir / "clean" / "checkpoints" / "aaaa" / "chk-1"
    folder.mkdir(parents=True)
    (folder / "_metadata").write_bytes(b"torn")
    with Stack(settings, (parts.BROKER, parts.JOBMANAGER, parts.JOBS)) as stack:
        with pytest.raises(ContractError, match=r"chk-1/_metadata"):
            stack.wait_running(180)
        (jobs,) = [part for part in stack.state().parts if part.name == parts.JOBS]
        assert (jobs.state, jobs.exit_code, jobs.restarts) == ("failed", 4, 0)
        status = headrace(tmp_path, "status")
        assert status.exit_code == 4
        assert "chk-1/_metadata" in status.output
