"""What `headrace status` shows: the parts from the state file, the stream from the broker, the jobs from Flink."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from confluent_kafka import Message

from headrace import jobs
from headrace.contract.errors import HeadraceError
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings
from headrace.contract.topics import PLAN, STEPS, TOPICS
from headrace.contract.training import StepReport, decode_report
from headrace.flink import FlinkRest, rest_of
from headrace.kafka import Cluster, coordinate
from headrace.local.state import State

COUNTED = 2000
"""A lag up to this is counted record by record, a longer one in offsets, of which transaction markers take some."""
LOOK_BACK = 2000
"""Offsets at the end of a topic in which the newest step is looked for."""


@dataclass(frozen=True)
class Stream:
    """How far the stream has come. `topics` counts offsets, `lag` what a job has still to read."""

    topics: dict[str, int]
    lag: dict[str, int]
    planned: Step | None
    trained: StepReport | None


@dataclass(frozen=True)
class Status:
    """One look. What could not be asked is None, and `problems` says why."""

    state: State
    stream: Stream | None
    flink_jobs: dict[str, str] | None
    problems: tuple[str, ...]

    @property
    def running(self) -> bool:
        """Whether every part and every job runs and nothing is wrong."""
        parts = all(part.state == "running" for part in self.state.parts)
        known = self.flink_jobs is None or all(said == "RUNNING" for said in self.flink_jobs.values())
        return parts and known and not self.problems

    def as_json(self, now: float) -> dict[str, Any]:
        """For scripts; times in seconds."""
        planned = self.stream.planned if self.stream else None
        trained = self.stream.trained if self.stream else None
        return {
            "phase": self.state.phase,
            "running": self.running,
            "pid": self.state.pid,
            "data_dir": self.state.environment["HEADRACE_LOCAL__DATA_DIR"],
            "brokers": self.state.environment["HEADRACE_KAFKA__BROKERS"],
            "parts": [{**asdict(part), "for_s": round(now - part.since, 1)} for part in self.state.parts],
            "topics": self.stream.topics if self.stream else None,
            "lag": self.stream.lag if self.stream else None,
            "jobs": self.flink_jobs,
            "planned_step": planned.step if planned else None,
            "trained_step": trained.step if trained else None,
            "loss": trained.loss if trained else None,
            "tokens": trained.tokens_total if trained else None,
            "text_age_s": trained.age_s if trained else None,
            "problems": self.problems,
        }


def look(state: State) -> Status:
    """Ask everything that runs; blocks some seconds where it does not answer, and never fails for it."""
    settings = state.settings
    there = {part.name for part in state.parts if part.state == "running"}
    stream, flink_jobs, problems = None, None, []
    try:
        stream = look_at_stream(settings) if "broker" in there else None
    except HeadraceError as error:
        problems.append(str(error))
    try:
        flink_jobs = look_at_jobs(settings) if {"jobmanager", "jobs"} <= there else None
    except HeadraceError as error:
        problems.append(str(error))
    return Status(state, stream, flink_jobs, tuple(problems))


def look_at_stream(settings: Settings) -> Stream:
    """Counts and the newest steps; raises DependencyError when the broker does not answer."""
    cluster = Cluster(settings, timeout_s=5)
    return Stream(
        {topic.name: span(cluster, topic.name) for topic in TOPICS},
        {job.name: lag(cluster, job.name, job.input) for job in jobs.JOBS},
        last_planned(cluster),
        last_trained(cluster, settings.trainer.run),
    )


def look_at_jobs(settings: Settings) -> dict[str, str]:
    """The state of both jobs in Flink's words."""
    listed = FlinkRest(rest_of(settings)).jobs()
    found = {job.name: jobs.active(settings, job, listed) for job in jobs.JOBS}
    return {name: running.state if running else "not there" for name, running in found.items()}


def span(cluster: Cluster, name: str) -> int:
    """Offsets from the first to the last stable one; transaction markers take some, so there are fewer records."""
    return sum(cluster.end_offsets(name).values()) - sum(cluster.first_offsets(name).values())


def lag(cluster: Cluster, group: str, name: str) -> int:
    """Records that the group has not committed yet."""
    start, end = {**cluster.first_offsets(name), **cluster.committed(group, name)}, cluster.end_offsets(name)
    offsets = sum(max(0, end[partition] - start[partition]) for partition in end)
    return sum(1 for _ in cluster.read_all(name, start, end)) if offsets <= COUNTED else offsets


def last_planned(cluster: Cluster) -> Step | None:
    """The newest step in the plan."""
    records = [decode_plan(message.value(), coordinate(message)) for message in _last(cluster, PLAN)]
    return next((record for record in reversed(records) if isinstance(record, Step)), None)


def last_trained(cluster: Cluster, run: str) -> StepReport | None:
    """The newest step that a run has reported."""
    reports = [decode_report(message.value(), coordinate(message)) for message in _last(cluster, STEPS)]
    return next((told for told in reversed(reports) if isinstance(told, StepReport) and told.run == run), None)


def _last(cluster: Cluster, name: str) -> list[Message]:
    first, end = cluster.first_offsets(name)[0], cluster.end_offsets(name)[0]
    return list(cluster.read(name, 0, max(first, end - LOOK_BACK), end))
