"""What `headrace status` shows: the parts from the state file, the stream from the broker, the jobs from Flink."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from confluent_kafka import Message

from headrace import jobs
from headrace.contract.errors import ContractError, HeadraceError
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, PLAN, STEPS, TOPICS
from headrace.contract.training import IdleReport, Report, StepReport, decode_report
from headrace.flink import FlinkRest, rest_of
from headrace.kafka import Cluster, coordinate
from headrace.local import disk
from headrace.local.state import State

COUNTED = 2000
"""A lag up to this is counted record by record, a longer one in offsets, of which transaction markers take some."""
LOOK_BACK = 2000
"""Offsets at the end of a topic in which the newest step is looked for."""


@dataclass(frozen=True)
class Stream:
    """How far the stream has come. `topics` counts offsets; `lag`, by who has still to read it, is in records.

    `heard` is the newest report of the main run, `trained` the newest one of a step, if that is not too long ago.
    """

    topics: dict[str, int]
    lag: dict[str, int]
    planned: Step | None
    trained: StepReport | None
    heard: Report | None

    @property
    def planned_step(self) -> int | None:
        return self.planned.step if self.planned else None

    @property
    def trained_step(self) -> int | None:
        """The last step that the run has reported; None before its first."""
        if isinstance(self.heard, IdleReport):
            return self.heard.step - 1 if self.heard.step else None
        return self.heard.step if self.heard else None

    def as_json(self, now: float) -> dict[str, Any]:
        """For scripts."""
        told = self.trained
        return {
            "topics": self.topics,
            "lag": self.lag,
            "planned_step": self.planned_step,
            "trained_step": self.trained_step,
            "trained_age_s": ago(now, told.time) if told else None,
            "heard_age_s": ago(now, self.heard.time) if self.heard else None,
            "loss": told.loss if told else None,
            "tokens": told.tokens_total if told else None,
            "ranks": told.ranks if told else None,
            "text_age_s": told.age_s if told else None,
        }


@dataclass(frozen=True)
class Status:
    """One look. What could not be asked is None, and `problems` says why and what else is not as it should be."""

    state: State
    stream: Stream | None
    flink_jobs: dict[str, str] | None
    disk_free: dict[str, int]
    problems: tuple[str, ...]

    @property
    def running(self) -> bool:
        """Whether every part and every job runs and nothing is wrong."""
        parts = all(part.state == "running" for part in self.state.parts)
        known = self.flink_jobs is None or all(said == "RUNNING" for said in self.flink_jobs.values())
        return parts and known and not self.problems

    @property
    def exit_code(self) -> int:
        """0 when all is well, 4 when a part met data that contradicts its contract, 1 for anything between."""
        if self.running:
            return 0
        refused = any(part.exit_code == ContractError.exit_code for part in self.state.failed)
        return ContractError.exit_code if refused else HeadraceError.exit_code

    def as_json(self, now: float) -> dict[str, Any]:
        """For scripts; times in seconds."""
        return {
            "phase": self.state.phase,
            "running": self.running,
            "exit_code": self.exit_code,
            "pid": self.state.pid,
            "data_dir": self.state.environment["HEADRACE_LOCAL__DATA_DIR"],
            "brokers": self.state.environment["HEADRACE_KAFKA__BROKERS"],
            "parts": [{**asdict(part), "for_s": ago(now, part.since * 1000)} for part in self.state.parts],
            "jobs": self.flink_jobs,
            **(self.stream or Stream({}, {}, None, None, None)).as_json(now),
            "disk_free": self.disk_free,
            "problems": self.problems,
        }


def ago(now: float, time_ms: float) -> float:
    """Seconds since; never negative, though a clock may have been set back."""
    return round(max(0.0, now - time_ms / 1000), 1)


def look(state: State) -> Status:
    """Ask everything that runs; blocks some seconds where it does not answer, and never fails for it."""
    settings = state.settings
    there = {part.name for part in state.parts if part.state == "running"}
    stream, flink_jobs, problems = None, None, disk.short(settings)
    try:
        stream = look_at_stream(settings) if "broker" in there else None
        if stream and stream.heard and stream.heard.save_error:
            problems.append(stream.heard.save_error)
    except HeadraceError as error:
        problems.append(str(error))
    try:
        flink_jobs = look_at_jobs(settings) if "jobmanager" in there and "jobs" in names(state) else None
    except HeadraceError as error:
        problems.append(str(error))
    problems += job_troubles(settings) if flink_jobs else []
    room = {name: disk.free(path) for name, path in disk.directories(settings).items()}
    return Status(state, stream, flink_jobs, room, tuple(problems))


def names(state: State) -> set[str]:
    """The parts that this stack has."""
    return {part.name for part in state.parts}


def look_at_stream(settings: Settings) -> Stream:
    """Counts and the newest steps; raises DependencyError when the broker does not answer."""
    cluster = Cluster(settings, timeout_s=5)
    there = cluster.partitions([topic.name for topic in TOPICS])  # not those of a later version
    planned, heard = last_planned(cluster), last_heard(cluster, settings.trainer.run)
    trained = next((report for report in heard if isinstance(report, StepReport)), None)
    stream = Stream({name: span(cluster, name) for name in there}, {}, planned, trained, next(iter(heard), None))
    behind: dict[str, int] = {
        job.name: lag(cluster, cluster.committed(job.name, job.input), job.input) for job in jobs.JOBS
    }
    behind["planner"] = lag(cluster, planned.next if planned else {}, BLOCKS)
    behind["trainer"] = (planned.step if planned else -1) - (-1 if stream.trained_step is None else stream.trained_step)
    return replace(stream, lag=behind)


def look_at_jobs(settings: Settings) -> dict[str, str]:
    """The state of both jobs in Flink's words."""
    listed = FlinkRest(rest_of(settings)).jobs()
    found = {job.name: jobs.active(settings, job, listed) for job in jobs.JOBS}
    return {name: running.state if running else "not there" for name, running in found.items()}


def job_troubles(settings: Settings) -> list[str]:
    """Why a job does not run though it is there, in Flink's words; empty if both run, or if Flink cannot be asked."""
    rest = FlinkRest(rest_of(settings))
    try:
        found = [running for job in jobs.JOBS if (running := jobs.active(settings, job, rest.jobs()))]
        stuck = [job for job in found if not job.tasks_running]
        return [f"job {job.name} is {job.state}: {cause}" for job in stuck if (cause := rest.root_cause(job.id))]
    except HeadraceError:
        return []


def span(cluster: Cluster, name: str) -> int:
    """Offsets from the first to the last stable one; transaction markers take some, so there are fewer records."""
    return sum(cluster.end_offsets(name).values()) - sum(cluster.first_offsets(name).values())


def lag(cluster: Cluster, positions: Mapping[int, int], name: str) -> int:
    """Records from these positions on; a partition that has none is read from its beginning."""
    start, end = {**cluster.first_offsets(name), **positions}, cluster.end_offsets(name)
    offsets = sum(max(0, end[partition] - start[partition]) for partition in end)
    return sum(1 for _ in cluster.read_all(name, start, end)) if offsets <= COUNTED else offsets


def last_planned(cluster: Cluster) -> Step | None:
    """The newest step in the plan."""
    records = [decode_plan(message.value(), coordinate(message)) for message in _last(cluster, PLAN)]
    return next((record for record in reversed(records) if isinstance(record, Step)), None)


def last_trained(cluster: Cluster, run: str) -> StepReport | None:
    """The newest step that a run has reported, if that is not too long ago."""
    return next((report for report in last_heard(cluster, run) if isinstance(report, StepReport)), None)


def last_heard(cluster: Cluster, run: str) -> list[Report]:
    """What a run has reported lately, the newest first."""
    reports = [decode_report(message.value(), coordinate(message)) for message in _last(cluster, STEPS)]
    return [told for told in reversed(reports) if told.run == run]


def _last(cluster: Cluster, name: str) -> list[Message]:
    first, end = cluster.first_offsets(name)[0], cluster.end_offsets(name)[0]
    return list(cluster.read(name, 0, max(first, end - LOOK_BACK), end))
