"""`headrace jobs upgrade`: from the query that made the state to a changed one, while documents go on coming.

State does not fit a changed query, so the job is emptied instead: all that it has read gets its outcome, its group
stands right behind, and the new job begins there with no state. What is published meanwhile waits in `text.raw`.

Whoever ends this process, at any moment, leaves jobs that are stopped with a savepoint or that run. `jobs ensure` goes
on from there, and the same command again goes on to the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from headrace.contract.errors import ContractError, HeadraceError
from headrace.contract.settings import Settings
from headrace.flink import FlinkRest, RunningJob, newest_state, rest_of
from headrace.jobs.aside import finish_setting_aside, set_aside
from headrace.jobs.checks import check_accepted, check_current, has_come_to
from headrace.jobs.counting import count, unread
from headrace.jobs.job import CLEAN, JOBS, TOKENIZE, Job, active
from headrace.jobs.notes import COUNTED, check_pinned, pins
from headrace.jobs.program import Program
from headrace.jobs.start import commit, stop
from headrace.jobs.watch import counted, judge, settled_count
from headrace.kafka import Cluster

STOP_S = 120.0
OLD_VERSION = (
    "start the version and the settings that made this state once more (`headrace up`), and upgrade while that runs"
)


@dataclass(frozen=True)
class Change:
    """A job whose state does not fit what its program is now: hashes of the plan, with what else is pinned."""

    job: Job
    before: str
    after: str


def upgrade(settings: Settings, wanted: Sequence[Job], timeout_s: float = 600.0) -> Iterator[str]:
    """Empty each wanted job that has changed and set its state aside; yields what was done, in words, as it is done.

    Afterwards `ensure` starts what is stopped. Callers hold `alone`. Raises ContractError when a job cannot be emptied,
    or has lost something; HeadraceError when it takes longer than `timeout_s`. Then nothing was set aside.
    """
    for job in JOBS:
        finish_setting_aside(settings, job)
    changes = []
    with Program(settings) as program:
        for job in wanted:
            if (change := find_change(program, job)) is None:
                yield f"{job.name}: its state fits, nothing to upgrade"
            else:
                yield f"{job.name}: state was made by {change.before}, the program is now {change.after}"
                changes.append(change)
    if changes:
        yield from empty(settings, [change.job for change in changes], timeout_s)
    for change in changes:
        yield from begin_anew(settings, change)


def find_change(program: Program, job: Job) -> Change | None:
    """What has changed since the job was started; None if its state fits, and if it has none and does not run.

    Compiles the job. Raises ContractError for another cluster, topic or tokenizer than pinned.
    """
    settings = program.settings
    if newest_state(job.folder(settings)) is None and not active(settings, job, FlinkRest(rest_of(settings)).jobs()):
        return None
    cluster = Cluster(settings)
    check_accepted(settings, job, accept_loss=False)
    check_current(cluster, job)
    pinned = check_pinned(cluster, job, settings)
    plan = program.ask(job, describe=True)["plan"]
    shards = settings.tokenize.shards
    if job == TOKENIZE and pinned.shards not in (0, shards):
        return Change(job, f"plan {pinned.plan} with {pinned.shards} shards", f"plan {plan} with {shards} shards")
    return Change(job, f"plan {pinned.plan}", f"plan {plan}") if pinned.plan not in ("", plan) else None


def empty(settings: Settings, jobs: Sequence[Job], timeout_s: float) -> Iterator[str]:
    """Stop the jobs such that nothing is under way in them. Clean stops for tokenize too, and goes on afterwards."""
    rest = FlinkRest(rest_of(settings))
    listed = rest.jobs()
    running = {job: found for job in JOBS if (found := active(settings, job, listed))}
    for job in jobs:
        if job in running:
            yield f"{job.name}: counting while it runs"
            if seen := settled_count(settings, job, running[job].id):
                judge(settings, job, seen)
    if CLEAN in running:
        yield "clean: stopping with a savepoint; what is published now waits in text.raw"
        stop(settings, rest, CLEAN, running[CLEAN], STOP_S)
    if TOKENIZE in running and TOKENIZE in jobs:
        yield from drain(settings, rest, running[TOKENIZE], timeout_s)
        yield "tokenize: stopping with a savepoint"
        stop(settings, rest, TOKENIZE, running[TOKENIZE], STOP_S)


def drain(settings: Settings, rest: FlinkRest, running: RunningJob, timeout_s: float) -> Iterator[str]:
    """Block until tokenize has read all of `text.clean`, and all that it has read has its outcome."""
    cluster, before = Cluster(settings), counted(settings, TOKENIZE)
    deadline = time.monotonic() + timeout_s
    said = ""
    while True:
        passed = cluster.committed(TOKENIZE.name, TOKENIZE.input)
        behind = unread(cluster, TOKENIZE, passed)
        missing = [] if behind else count(cluster, TOKENIZE, before, passed, quick=True).missing
        if not behind and not missing:
            return
        now = f"tokenize: reading, is at {behind}" if behind else "tokenize: waiting for its windows to close"
        if now != said:
            yield now
        said = now
        if time.monotonic() > deadline or rest.job(running.id) != "RUNNING":
            raise HeadraceError(
                f"tokenize has not emptied itself within {timeout_s:.0f} s ({now}, job {rest.job(running.id)}): nothing"
                " was set aside, `headrace jobs ensure` goes on; see `headrace logs taskmanager`, then upgrade again"
            )
        time.sleep(0.5)


def begin_anew(settings: Settings, change: Change) -> Iterator[str]:
    """Make sure that the stopped job is empty, move its group right behind, and set its state aside."""
    job, cluster, before = change.job, Cluster(settings), counted(settings, change.job)
    positions = has_come_to(cluster, job)
    found = count(cluster, job, before, positions)
    if found.missing:
        raise ContractError(
            f"job {job.name} does not run and is not empty: {found.missing[0]} and {len(found.missing) - 1} more have"
            f" been read and have no outcome yet; they are in its state alone. Nothing was set aside: {OLD_VERSION}"
        )
    found.counted.write(job.folder(settings) / COUNTED)
    commit(cluster, job, positions)
    yield f"{job.name}: empty, every record up to {positions} of {job.input} has its outcome"
    aside = set_aside(settings, job, positions, pins(cluster, job, settings, plan=""), time.time())
    yield f"{job.name}: begins anew there, {memory_of(job)}; its state of before lies in {aside}"


def memory_of(job: Job) -> str:
    """What a job that begins anew does not know."""
    return "with an empty memory of duplicates" if job == CLEAN else "with empty windows"
