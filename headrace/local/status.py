"""What `headrace status` shows: the parts from the state file, the stream from the broker, the jobs from Flink."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from headrace import jobs
from headrace.contract.errors import ContractError, DependencyError, HeadraceError
from headrace.contract.plan import Step
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, TOPICS
from headrace.contract.training import MAIN_RUN, IdleReport, Report, StepReport
from headrace.flink import FlinkRest, rest_of
from headrace.kafka import Cluster
from headrace.local import disk, parts
from headrace.local.state import PartState, State
from headrace.runs import QUIET_S, all_told, last_planned, latest_reports, next_step

COUNTED = 2000
"""A lag up to this is counted record by record, a longer one in offsets, of which transaction markers take some."""


@dataclass(frozen=True)
class Stream:
    """How far the stream has come. `topics` counts offsets; `lag`, by who has still to read it, is in records.

    `heard` is the newest report of the main run, `trained` the newest one of a step, if that is not too long ago;
    `others` the newest ones of the other runs.
    """

    topics: dict[str, int]
    lag: dict[str, int]
    planned: Step | None
    trained: StepReport | None
    heard: Report | None
    main: str = MAIN_RUN
    others: tuple[Report, ...] = ()

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
            "main_run": self.main,
            "trained_step": self.trained_step,
            "trained_age_s": ago(now, told.time) if told else None,
            "heard_age_s": ago(now, self.heard.time) if self.heard else None,
            "loss": told.loss if told else None,
            "tokens": told.tokens_total if told else None,
            "ranks": told.ranks if told else None,
            "text_age_s": told.age_s if told else None,
            "other_runs": {
                report.run: {"trained_step": next_step(report) - 1, "heard_age_s": ago(now, report.time)}
                for report in self.others
            },
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


def elsewhere(settings: Settings) -> State:
    """What answers of a deployment that no supervisor of ours has started, in containers for instance.

    Raises DependencyError when its broker does not answer.
    """
    Cluster(settings, timeout_s=5).wait(2)
    now, rest = time.time(), rest_of(settings)
    shown = [PartState(parts.BROKER, "running", since=now, url=settings.kafka.brokers)]
    if settings.flink.rest:
        try:
            FlinkRest(rest).slots()
            shown += [PartState(name, "running", since=now, url=rest) for name in (parts.JOBMANAGER, parts.JOBS)]
        except DependencyError as error:
            shown.append(PartState(parts.JOBMANAGER, "failed", since=now, url=rest, error=(str(error),)))
    return State(0, "running", now, settings.absolute.environment(), tuple(shown))


def look(state: State) -> Status:
    """Ask everything that runs; blocks some seconds where it does not answer, and never fails for it."""
    settings = state.settings
    there = {part.name for part in state.parts if part.state == "running"}
    stream, flink_jobs, problems = None, None, disk.short(settings)
    try:
        stream = look_at_stream(settings) if "broker" in there else None
        problems += troubles_of_runs(stream, state, time.time()) if stream else []
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
    planned, main = last_planned(cluster), all_told(cluster).main
    heard = {report.run: report for report in latest_reports(cluster)}
    trained, last = last_trained(cluster, main), heard.pop(main, None)
    topics = {name: span(cluster, name) for name in there}
    stream = Stream(topics, {}, planned, trained, last, main, tuple(heard.values()))
    behind: dict[str, int] = {
        job.name: lag(cluster, cluster.committed(job.name, job.input), job.input) for job in jobs.JOBS
    }
    behind["planner"] = lag(cluster, planned.next if planned else {}, BLOCKS)
    behind["trainer"] = (planned.step if planned else -1) - (-1 if stream.trained_step is None else stream.trained_step)
    return replace(stream, lag=behind)


def troubles_of_runs(stream: Stream, state: State, now: float) -> list[str]:
    """What runs cannot save, and a main run that nobody trains."""
    told = [*([stream.heard] if stream.heard else []), *stream.others]
    living = {report.run for report in told if now - report.time / 1000 < QUIET_S}
    found = [said.save_error for said in told if said.save_error and said.run in {*living, stream.main}]
    here = {run for name in names(state) if (run := parts.run_of(name, state.settings))}
    if parts.PLANNER in names(state) and stream.main not in here | living:
        found.append(
            f"nobody trains the main run, {stream.main}, and the planner waits for it: `headrace runs start"
            f" {stream.main}`, or `headrace runs promote` one that is trained: {', '.join(sorted(living)) or 'none is'}"
        )
    return found


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


def last_trained(cluster: Cluster, run: str) -> StepReport | None:
    """The newest step that a run has reported, if that is not too long ago."""
    found = [report for report in latest_reports(cluster) if isinstance(report, StepReport) and report.run == run]
    return found[-1] if found else None
