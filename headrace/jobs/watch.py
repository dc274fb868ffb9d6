"""Counting beside the running jobs: after every restore, when a commit failed, and every so often.

Flink's connector only logs a transaction that the broker had aborted before it was committed. What it held is gone
then, and the job goes on. So a job that has read a record without leaving an outcome is stopped, until somebody says
`--accept-loss`.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Protocol

from headrace.contract.errors import ContractError, DependencyError, HeadraceError
from headrace.contract.settings import Settings
from headrace.flink import FlinkRest, newest_state, positions, rest_of
from headrace.jobs.counting import NOTHING, Count, Counted, count
from headrace.jobs.job import TOKENIZE, Job, active
from headrace.jobs.notes import COUNTED, Lost
from headrace.jobs.start import stop_or_cancel
from headrace.kafka import Cluster

EVERY_S = 600.0
"""How often a job that runs well is counted: what is read again is bounded by it."""
LOOK_S = 10.0
"""How often it asks whether a job was restored or a commit failed; Flink itself gathers its counters that often."""
EXAMPLES = 20
STOP_S = 60.0

log = logging.getLogger("headrace")


def counted(settings: Settings, job: Job) -> Counted:
    """Up to where the job was counted so far."""
    return Counted.read(job.folder(settings) / COUNTED) or NOTHING


def settled_count(settings: Settings, job: Job, job_id: str, latest: float = 0.0) -> Count | None:
    """Count a running job: all that it has read up to now, as soon as that must have its outcome.

    How far it has read says its newest checkpoint: its group learns that later, after a restore not before the job
    reads on. Then a window and two checkpoints must pass; blocks for them. None if they do not come, or the clock was
    set back so far that the window takes minutes: count it later.
    What is missing is missing still after another window and two checkpoints: it is lost.
    `latest`: what the wall clock has shown before, where the caller knows that; a window of then may be open yet.
    """
    cluster, rest, latest = Cluster(settings), FlinkRest(rest_of(settings)), max(latest, time.time())
    if not wait_checkpoints(settings, rest, job_id):
        return None
    passed = has_read(settings, cluster, job)
    before = counted(settings, job)
    found = None
    for _ in range(2):
        latest = max(latest, time.time())
        if job == TOKENIZE and not wait_window(settings.tokenize.window_s, latest):
            return None
        if not wait_checkpoints(settings, rest, job_id):
            return None
        found = count(cluster, job, before, passed)
        if not found.missing:
            break
    return found


def has_read(settings: Settings, cluster: Cluster, job: Job) -> dict[int, int]:
    """Up to where the job has read its input, by partition: by its newest state, where that says it, and its group."""
    passed = cluster.committed(job.name, job.input)
    for partition, offset in _in_newest_state(settings, job).items():
        passed[partition] = max(offset, passed.get(partition, 0))
    return passed


def _in_newest_state(settings: Settings, job: Job) -> dict[int, int]:
    """Positions in the newest state of a job that runs: while one looks, older checkpoints are deleted."""
    for _ in range(5):
        try:
            state = newest_state(job.folder(settings))
            return positions(state, settings.topic(job.input)) if state else {}
        except FileNotFoundError:
            continue
    return {}


def wait_checkpoints(settings: Settings, rest: FlinkRest, job_id: str) -> bool:
    """Block for two checkpoints, two minutes and ten intervals at most; whether they came."""
    interval_s = settings.flink.checkpoint_interval_ms / 1000
    first = rest.completed(job_id)
    deadline = time.monotonic() + 120 + 10 * interval_s
    while rest.completed(job_id) < first + 2:
        if time.monotonic() > deadline or rest.job(job_id) not in ("CREATED", "RUNNING", "RESTARTING"):
            return False
        time.sleep(min(1.0, interval_s))
    return True


def wait_window(window_s: float, latest: float) -> bool:
    """Block until what was read up to the time `latest` is in a window that has ended; whether that came.

    Windows end by the wall clock. One that was open when it was set back ends when it is there again: two minutes are
    waited for that, at most.
    """
    deadline = time.monotonic() + window_s + 120
    while (left := latest + window_s - time.time()) > 0:
        if time.monotonic() > deadline:
            return False
        time.sleep(min(left, 1.0))
    return True


def judge(settings: Settings, job: Job, found: Count, accept_loss: bool = False) -> None:
    """Note up to where all is counted. What is missing stops the job, and raises ContractError, unless accepted."""
    folder = job.folder(settings)
    if found.missing:
        records = tuple(map(str, found.missing[:EXAMPLES]))
        lost = Lost(records=records, count=len(found.missing), time=time.time())
        log.error("lost", extra={"job": job.name, "count": lost.count, "records": records})
        if not accept_loss:
            lost.write(folder / Lost.FILE)
            rest = FlinkRest(rest_of(settings))
            if running := active(settings, job, rest.jobs()):
                stop_or_cancel(settings, rest, job, running, STOP_S)
            found.counted.write(folder / COUNTED)
            raise ContractError(
                f"job {job.name} was stopped: {lost}. `headrace verify` names them all; go on without them with"
                " `headrace jobs ensure --accept-loss`"
            )
        lost.write(folder / f"accepted-{round(lost.time)}.json")
    found.counted.write(folder / COUNTED)


class Counting(Protocol):
    """A count that was begun."""

    def done(self) -> bool: ...

    def result(self) -> Count | None:
        """What `settled_count` returned or raised; blocks until it is there."""


class InProcess:
    """Counts in a process of its own: with it goes the memory, and whoever stops the jobs need not wait for it."""

    def __init__(self, settings: Settings, job: Job, job_id: str, latest: float) -> None:
        fresh = multiprocessing.get_context("spawn")  # a fork would take along half of the Kafka client's threads
        self.job = job
        self.answer, tell = fresh.Pipe(duplex=False)
        self.process = fresh.Process(target=_count_and_tell, args=(tell, settings, job, job_id, latest), daemon=True)
        self.process.start()
        tell.close()

    def done(self) -> bool:
        return self.answer.poll()

    def result(self) -> Count | None:
        with self.answer:
            try:
                found: Count | HeadraceError | None = self.answer.recv()
            except EOFError:
                self.process.join()
                raise DependencyError(
                    f"counting job {self.job.name} ended without an answer, exit code {self.process.exitcode}"
                ) from None
        self.process.join()
        if isinstance(found, HeadraceError):
            raise found
        return found


def _count_and_tell(tell: Connection, settings: Settings, job: Job, job_id: str, latest: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it goes with the process that waits for it
    try:
        found: Count | HeadraceError | None = settled_count(settings, job, job_id, latest)
    except HeadraceError as error:
        found = error
    with suppress(BrokenPipeError):
        tell.send(found)


@dataclass
class Counter:
    """Decides when each job is counted. `look` never blocks for long."""

    settings: Settings
    begin: Callable[[Settings, Job, str, float], Counting] = InProcess
    under_way: dict[Job, tuple[str, Counting]] = field(default_factory=dict)
    counted: dict[Job, tuple[object, float]] = field(default_factory=dict)
    """By job: its id, last restore and failed commits as of its last count, and when that was."""
    looked: float = -LOOK_S
    latest: float = 0.0
    """The latest that the wall clock has shown: it may have been set back since the jobs read what is counted."""

    def see_clock(self) -> None:
        """Also while the jobs cannot be looked at: what was the time must not be forgotten."""
        self.latest = max(self.latest, time.time())

    def look(self, ids: Mapping[Job, str], now: float) -> None:
        """Start a count where one is due; raises ContractError when one that has ended found a loss.

        `ids`: the running jobs. `now`: a clock in seconds that does not go back.
        """
        self.see_clock()
        for job in [job for job, (_, counting) in self.under_way.items() if counting.done()]:
            self._end(job, ids[job])
        if now - self.looked >= LOOK_S:
            self.looked = now
            for job in ids.keys() - self.under_way.keys():
                self._begin(job, ids[job], now)

    def _begin(self, job: Job, job_id: str, now: float) -> None:
        rest = FlinkRest(rest_of(self.settings))
        mark = (job_id, restored, failed) = job_id, rest.restored(job_id), rest.failed_commits(job_id)
        if job not in self.counted and not restored and not failed:
            self.counted[job] = mark, now  # it began with nothing and nothing has happened to it
        last, since = self.counted.get(job, (None, 0.0))
        if mark != last or now - since >= EVERY_S:
            self.counted[job] = mark, now
            if (back := self.latest - time.time()) > 1:
                log.warning("the clock was set back: a count waits for it", extra={"job": job.name, "seconds": back})
            self.under_way[job] = job_id, self.begin(self.settings, job, job_id, self.latest)

    def _end(self, job: Job, job_id: str) -> None:
        counted_id, counting = self.under_way.pop(job)
        last, self.counted[job] = self.counted[job], (None, 0.0)  # if it came to nothing, the next look begins another
        found = counting.result()
        if found is not None and counted_id == job_id:
            judge(self.settings, job, found)
            self.counted[job] = last
