"""The parts of a stack: what each one runs, what it waits for, when it counts as running."""

from __future__ import annotations

import socket
import sys

from headrace import jobs
from headrace.contract import fleet
from headrace.contract.errors import ContractError, DependencyError
from headrace.contract.settings import Settings
from headrace.flink import FlinkRest, rest_of
from headrace.kafka import Cluster
from headrace.local.broker import broker
from headrace.local.flink import flink, wanted_slots, workers_socket
from headrace.local.ports import HOST
from headrace.local.process import Part
from headrace.topics import check_topics, create_topics

BROKER, JOBMANAGER, TASKMANAGER, WORKERS, JOBS, PLANNER, TRAINER, EXPORTER = ALL = (
    "broker",
    "jobmanager",
    "taskmanager",
    "workers",
    "jobs",
    "planner",
    "trainer",
    "exporter",
)
NEEDS = {JOBS: (BROKER, JOBMANAGER), PLANNER: (BROKER,), TRAINER: (BROKER,), EXPORTER: (BROKER,)}
"""What must run before a part is started; the others are started at once."""
FINAL = dict.fromkeys((JOBS, PLANNER, TRAINER), (2, 4))
"""Exit codes of programs of ours after which a restart cannot help."""


def build(settings: Settings, names: tuple[str, ...]) -> dict[str, Part]:
    """The named parts of a stack whose ports are chosen; writes the configuration files of broker and Flink."""
    python = sys.executable
    own = settings.environment()
    parts = {
        PLANNER: Part(PLANNER, (python, "-m", "services.planner"), own),
        TRAINER: trainer(settings),
        EXPORTER: Part(EXPORTER, (python, "-m", "services.exporter"), own),
    }
    if BROKER in names:
        parts[BROKER] = broker(settings)
    if not {JOBMANAGER, TASKMANAGER, WORKERS, JOBS}.isdisjoint(names):
        cluster = flink(settings)
        ensure = (python, "-m", "headrace.cli.main", "jobs", "ensure", "--watch")
        parts |= {
            JOBMANAGER: cluster.jobmanager,
            TASKMANAGER: cluster.taskmanager,
            WORKERS: cluster.workers,
            JOBS: Part(JOBS, ensure, {**own, **cluster.environment}),
        }
    return {name: parts[name] for name in names}


def trainer(settings: Settings, name: str = TRAINER) -> Part:
    """The trainer of the settings' run, with their number of ranks."""
    return Part(name, (sys.executable, "-m", "trainer.fleet"), settings.environment())


def trainer_of(run: str, settings: Settings) -> str:
    """The name of the part that trains a run in the stack of the settings."""
    return TRAINER if run == settings.trainer.run else f"{TRAINER}@{run}"


def run_of(name: str, settings: Settings) -> str:
    """The run that a part of the stack of the settings trains; empty for one that trains none."""
    kind, _, run = name.partition("@")
    return (run or settings.trainer.run) if kind == TRAINER else ""


def kind_of(name: str) -> str:
    """What a part is: one of ALL."""
    return name.partition("@")[0]


def ready(name: str, settings: Settings) -> bool:
    """Whether a started part does its work by now; blocks a few seconds at most. `settings`: the part's own.

    Raises ContractError when the broker's topics are not as declared and cannot be made so.
    """
    ports = settings.local.ports
    try:
        match kind_of(name):
            case "broker":
                return open_port(ports.broker) and _topics(settings)
            case "jobmanager":
                return FlinkRest(rest_of(settings), 1.0).slots() >= 0
            case "taskmanager":
                return FlinkRest(rest_of(settings), 1.0).slots() >= wanted_slots(settings)
            case "workers":
                return workers_socket(settings).is_socket()
            case "jobs":
                return jobs_run(settings)
            case "planner":
                return open_port(ports.planner_metrics)
            case "exporter":
                return open_port(ports.exporter_metrics)
            case "trainer":
                said = fleet.read(settings.data_dir, settings.trainer.run)
                whole = said is None or len(said.ranks) == settings.trainer.ranks
                return whole and all(open_port(ports.trainer_metrics + r) for r in range(settings.trainer.ranks))
    except DependencyError:
        return False
    raise ValueError(name)


def url(name: str, settings: Settings) -> str:
    """Where a person looks at it. `settings`: the part's own."""
    ports = settings.local.ports
    return {
        BROKER: f"{HOST}:{ports.broker}",
        JOBMANAGER: f"http://{HOST}:{ports.flink}",
        TASKMANAGER: f"http://{HOST}:{ports.taskmanager_metrics}/metrics",
        PLANNER: f"http://{HOST}:{ports.planner_metrics}/metrics",
        EXPORTER: f"http://{HOST}:{ports.exporter_metrics}/metrics",
        TRAINER: f"http://{HOST}:{ports.trainer_metrics}/metrics",
    }.get(kind_of(name), "")


def jobs_run(settings: Settings) -> bool:
    """Whether every task of both jobs runs."""
    listed = FlinkRest(rest_of(settings), 1.0).jobs()
    found = [jobs.active(settings, job, listed) for job in jobs.JOBS]
    return all(job is not None and job.tasks_running for job in found)


def open_port(port: int) -> bool:
    """Whether somebody listens."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _topics(settings: Settings) -> bool:
    cluster = Cluster(settings, timeout_s=5)
    cluster.wait(1)
    create_topics(cluster)
    if wrong := check_topics(cluster):
        raise ContractError(f"topics are not as declared: {'; '.join(wrong)}")
    return True
