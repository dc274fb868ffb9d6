"""What the supervisor does in one tick, with small programs in place of the parts."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from headrace.contract.fleet import FleetState
from headrace.contract.metrics import PART_RESTARTS
from headrace.contract.settings import Ports, Settings, load
from headrace.local import logfiles, parts, ports, process, state, trainers
from headrace.local.process import Part
from headrace.local.supervisor import Supervisor
from headrace.local.watched import Moment
from headrace.observe import Pulse

SERVES = "import socket, time; kept = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVES


@pytest.fixture(scope="module")
def supervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """One that watches a `planner`, and a `trainer` of one rank that does not listen to SIGTERM."""
    folder = tmp_path_factory.mktemp("data")
    zeros = [f"local.ports.{name}=0" for name in Ports.model_fields]
    values = [*zeros, "trainer.ranks=1", f"local.data_dir={folder}"]
    settings = load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=values).settings
    chosen = ports.choose(settings)
    settings = settings.model_copy(update={"local": settings.local.model_copy(update={"ports": chosen})})
    state.run_dir(folder).mkdir()
    made = Supervisor(settings, (), None, Pulse(60))
    for name, program, port in (
        (parts.PLANNER, SERVES, chosen.planner_metrics),
        (parts.TRAINER, DEAF, chosen.trainer_metrics),
    ):
        made.watch(Part(name, (sys.executable, "-c", program.format(port=port))), settings)
    yield made
    process.end(process.marked(folder), grace_s=0)


def tick_until(supervisor: Supervisor, done: Callable[[], bool], ahead_s: float = 0.0) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, supervisor.watched
        now = Moment.now()
        supervisor.tick(Moment(now.wall, now.steady + ahead_s))
        time.sleep(0.05)


def all_run(supervisor: Supervisor) -> bool:
    return all(part.state.state == "running" for part in supervisor.watched.values())


def served(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "NEEDS", {})
    tick_until(supervisor, lambda: all_run(supervisor))


def test_a_part_was_started_again_0_times_before_it_was_once(supervisor: Supervisor) -> None:
    for name in supervisor.watched:
        assert REGISTRY.get_sample_value(PART_RESTARTS.name, {"part": name}) is not None


def test_a_part_that_is_slow_to_end_holds_up_nobody(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    served(supervisor, monkeypatch)
    planner, trainer = (supervisor.watched[name] for name in (parts.PLANNER, parts.TRAINER))
    deaf, killed = trainer.state.pid, planner.state.pid
    assert killed is not None
    order = state.request(supervisor.data_dir, do="restart", part=parts.TRAINER)
    tick_until(supervisor, lambda: trainer.state.state == "stopping")
    assert not order.exists()
    os.kill(killed, signal.SIGKILL)
    tick_until(supervisor, lambda: planner.state.pid not in (None, killed) and planner.state.state == "running")
    assert (trainer.state.state, trainer.state.pid) == ("stopping", deaf)
    tick_until(supervisor, lambda: trainer.state.pid not in (None, deaf), ahead_s=90)
    tick_until(supervisor, lambda: all_run(supervisor))
    assert (planner.state.restarts, trainer.state.restarts) == (1, 1)
    found = state.read(supervisor.data_dir)
    assert found is not None
    assert {part.name: part.restarts for part in found.parts} == {parts.PLANNER: 1, parts.TRAINER: 1}


def test_ranks_that_were_started_again_show_as_a_restart(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(supervisor, monkeypatch)
    trainer = supervisor.watched[parts.TRAINER]
    before, pid = trainer.state.restarts, trainer.state.pid
    assert pid is not None

    def says(restarts: int, *ranks: int, of: int = pid) -> None:
        FleetState(pid=of, restarts=restarts, ranks=ranks, why="rank 0 ended").write(supervisor.data_dir, "main")
        supervisor.tick(Moment.now())
        supervisor.tick(Moment.now())

    says(0, 7)
    assert (trainer.state.state, trainer.state.restarts) == ("running", before)
    says(0)
    assert (trainer.state.state, trainer.state.restarts) == ("starting", before), "a rank is gone, none came yet"
    says(2)
    assert (trainer.state.state, trainer.state.restarts) == ("starting", before + 2)
    assert (trainer.state.error, trainer.state.pid) == (("rank 0 ended",), pid)
    says(2, 8)
    assert (trainer.state.state, trainer.state.restarts, trainer.state.error) == ("running", before + 2, ())
    assert supervisor.restarts.labels(parts.TRAINER)._value.get() >= 2
    says(9, 8, of=pid + 1)
    assert trainer.state.restarts == before + 2, "another fleet's"


def test_a_full_disk_does_not_end_it(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    served(supervisor, monkeypatch)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    planner = supervisor.watched[parts.PLANNER]
    before = planner.state.restarts
    with monkeypatch.context() as now:
        now.setattr(state, "replace_file", full)
        now.setattr(logfiles, "open_log", full)
        assert planner.state.pid is not None
        os.kill(planner.state.pid, signal.SIGKILL)
        tick_until(supervisor, lambda: planner.state.restarts >= before + 2)
        assert "No space left" in planner.state.error[0]
    tick_until(supervisor, lambda: all_run(supervisor), ahead_s=60)
    found = state.read(supervisor.data_dir)
    assert found is not None
    assert all(part.state == "running" for part in found.parts)


def test_its_housekeeping_bounds_the_logs_and_measures_the_disks(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logfiles, "LOG_BYTES", 4)
    path = logfiles.path_of(supervisor.data_dir, "submit")
    path.parent.mkdir(exist_ok=True)
    path.write_text("12345")
    supervisor.keep_house()
    assert logfiles.older(Path(path)).read_text() == "12345"
    assert supervisor.free.labels("kafka")._value.get() > 0


def test_a_run_that_was_ordered_is_trained_beside_until_it_is_ordered_to_end(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(supervisor, monkeypatch)

    def trainer(settings: Settings, name: str) -> Part:
        program = SERVES.format(port=settings.local.ports.trainer_metrics)
        return Part(name, (sys.executable, "-c", program), {"RATE": str(settings.trainer.learning_rate)})

    monkeypatch.setattr(parts, "trainer", trainer)
    folder = supervisor.data_dir
    trainers.keep(folder, "slow", ["trainer.learning_rate=0.5"])
    state.request(folder, do="train", run="slow")
    tick_until(supervisor, lambda: "trainer@slow" in supervisor.watched and all_run(supervisor))
    beside = supervisor.watched["trainer@slow"]
    assert (beside.part.environment, beside.final) == ({"RATE": "0.5"}, parts.FINAL[parts.TRAINER])
    first = beside.state.pid
    trainers.keep(folder, "slow", ["trainer.learning_rate=0.25"])
    state.request(folder, do="train", run="slow")
    tick_until(supervisor, lambda: beside.state.pid not in (None, first) and all_run(supervisor))
    assert (beside.part.environment, beside.state.restarts) == ({"RATE": "0.25"}, 1)
    state.request(folder, do="end", part="trainer@slow")
    tick_until(supervisor, lambda: "trainer@slow" not in supervisor.watched)
    assert process.marked(folder, "trainer@slow") == []
    found = state.read(folder)
    assert found is not None
    assert {part.name for part in found.parts} == {parts.PLANNER, parts.TRAINER}


def test_a_run_that_cannot_be_trained_is_shown_as_failed(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(supervisor, monkeypatch)
    trainers.keep(supervisor.data_dir, "odd", ["trainer.learning_rat=1"])
    supervisor.train("odd")
    shown = supervisor.watched["trainer@odd"].state
    assert (shown.state, shown.exit_code) == ("failed", 2)
    assert "did you mean trainer.learning_rate" in shown.error[0]
    state.request(supervisor.data_dir, do="end", part="trainer@odd")
    tick_until(supervisor, lambda: "trainer@odd" not in supervisor.watched)
