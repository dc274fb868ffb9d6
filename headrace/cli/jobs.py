"""`headrace jobs`: the two Flink jobs, submitted where they are missing, listed, and upgraded."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from typing import Annotated

import orjson
import typer
from rich.markup import escape
from rich.table import Table

from headrace import jobs as flink_jobs
from headrace.cli.options import Assign, Brokers, Config, err, out, say, with_settings
from headrace.contract.errors import DependencyError, HeadraceError, SettingsError
from headrace.contract.metrics import JOB_SUBMISSIONS, JOB_UP
from headrace.contract.settings import Resolved, Settings, flatten, load, variable
from headrace.flink import FlinkRest, RunningJob, newest_state, rest_of
from headrace.jobs.notes import Lost
from headrace.jobs.upgrade import upgrade as upgrade_jobs
from headrace.jobs.watch import Counter, judge, settled_count
from headrace.observe import Pulse, register, serve_metrics, start_logging

app = typer.Typer(name="jobs", help="The two Flink jobs: clean and tokenize.", no_args_is_help=True)
WATCH_S = 1.0
LIMIT_S = 600.0
"""A loop that has not come round for so long hangs: Flink may take minutes to restore a job."""
STOP_S = 120.0
"""For a savepoint."""
LOCK_S = 120.0
"""How long another process may have the jobs: one look of the stack's supervisor, which may submit both."""
OF_THE_STACK = ("kafka.brokers", "flink.rest", "flink.state_dir")


@app.command()
@with_settings
def ensure(
    settings: Settings,
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking, once a second, until ended.")] = False,
    stop_jobs: Annotated[
        bool, typer.Option("--stop-jobs", help="With --watch: on SIGTERM, stop both jobs with a savepoint.")
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Go on from old state, and without records that were found lost.")
    ] = False,
) -> None:
    """Submit each job that does not run, from its newest checkpoint or savepoint and from nothing older.

    With state that does not fit (another cluster, topic, plan or tokenizer), that cannot be read, or that is missing
    though the job has written before, nothing is submitted and the exit code is 4. After going on from a state it
    counts whether all that was read has its outcome; if not, the job is stopped and the exit code is 4.
    """
    settings = of_local_stack(settings)
    if watch:
        stopping = threading.Event()
        if stop_jobs:
            signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        _watch(settings, accept_loss, stopping)
        _stop(settings)
        return
    with flink_jobs.alone(settings, LOCK_S):
        for done in flink_jobs.ensure(settings, accept_loss):
            came = f"submitted, from {done.from_state or 'the beginning'}" if done.submitted else "runs already"
            out.print(f"{done.job}: {came} ({done.id})", soft_wrap=True)
            if done.from_state:
                _count(settings, done, accept_loss)


def _count(settings: Settings, done: flink_jobs.Ensured, accept_loss: bool) -> None:
    """Count what a job that went on from a state has read; see `headrace.jobs.watch`."""
    job = next(job for job in flink_jobs.JOBS if job.name == done.job)
    with err.status(f"{done.job}: counting outcomes"):
        found = settled_count(settings, job, done.id)
    if found is None:
        out.print(f"{done.job}: does not make checkpoints yet, so nothing was counted: `headrace jobs list`")
        return
    judge(settings, job, found, accept_loss)
    if found.missing:
        out.print(f"{done.job}: went on without {len(found.missing)} records: `headrace verify` names them")
    else:
        out.print(f"{done.job}: all that it has read has its outcome")


def _watch(settings: Settings, accept_loss: bool, stopping: threading.Event) -> None:
    """Ensure until told to stop; else only a broken contract or a wrong setting ends it. A missing Flink is waited for.

    So is another process that has the jobs for a while: an upgrade.
    """
    log = start_logging("jobs", settings.log.level)
    counter, pulse, missing = Counter(settings), Pulse(LIMIT_S), ""
    up, submissions = register(JOB_UP), register(JOB_SUBMISSIONS)
    for job in flink_jobs.JOBS:
        submissions.labels(job.name)  # shown as 0 before the first
    serve_metrics(settings.local.ports.jobs_metrics, settings.local.bind, pulse)
    while not stopping.is_set():
        pulse.beat()
        counter.see_clock()
        try:
            with flink_jobs.alone(settings):
                ensured = {done.job: done for done in flink_jobs.ensure(settings, accept_loss)}
                counter.look({job: ensured[job.name].id for job in flink_jobs.JOBS}, time.monotonic())
            for done in ensured.values():
                up.labels(done.job).set(True)
                if done.submitted:
                    submissions.labels(done.job).inc()
                    log.info("submitted", extra={"job": done.job, "id": done.id, "restored": done.from_state})
            missing = ""
        except DependencyError as error:
            for job in flink_jobs.JOBS:
                up.labels(job.name).set(False)
            if str(error) != missing:
                log.warning("waiting", extra={"error": str(error)})
            missing = str(error)
        stopping.wait(WATCH_S)


def _stop(settings: Settings) -> None:
    """Stop both jobs with a savepoint, as far as Flink can take one; a job without one goes on from its checkpoint."""
    log = logging.getLogger("headrace")
    try:
        with flink_jobs.alone(settings, LOCK_S):
            for name, path in flink_jobs.stop_all(settings, STOP_S).items():
                log.info("job stopped", extra={"job": name, "savepoint": path})
    except HeadraceError as error:
        log.warning("jobs not stopped with savepoint", extra={"error": str(error)})


@app.command()
def upgrade(
    job: Annotated[str, typer.Argument(help="clean, tokenize or all")] = "all",
    config: Config = None,
    assign: Assign = None,
    brokers: Brokers = None,
    timeout: Annotated[float, typer.Option(help="Seconds that tokenize may take to empty itself.")] = 600.0,
    leave_stopped: Annotated[
        bool, typer.Option("--leave-stopped", help="Do not start the jobs: in containers the next `up` does.")
    ] = False,
) -> None:
    """Go over to a changed query: empty each job whose state does not fit, and start it anew right behind.

    Run it while the old version's jobs run. Documents may be published meanwhile: nothing is lost and nothing comes
    twice. The new clean job does not remember which texts it has seen. Whatever interrupts it, run it again.
    Settings that are said here (a file, the environment, --set) count for the new jobs; start the stack with them too.
    """
    wanted = [one for one in flink_jobs.JOBS if job in (one.name, "all")]
    if not wanted:
        raise SettingsError(f"there is no job {job}: clean, tokenize or all")
    assignments = [*(assign or ()), *([f"kafka.brokers={brokers}"] if brokers else ())]
    settings = _changed(load(config, assignments))
    began = time.monotonic()
    with flink_jobs.alone(settings, LOCK_S):
        for line in upgrade_jobs(settings, wanted, timeout):
            say(escape(line))
        for done in () if leave_stopped else flink_jobs.ensure(settings):
            came = f"submitted, from {done.from_state or 'where it was emptied'}" if done.submitted else "runs"
            out.print(f"{done.job}: {came} ({done.id})", soft_wrap=True)
    out.print(f"[green]done[/] after {time.monotonic() - began:.0f} s: `headrace verify` counts both sides of it")
    _restart_part(settings)


def _changed(given: Resolved) -> Settings:
    """The settings of the running local stack, with what was said now; addresses and folders stay those of the stack.

    Elsewhere all that was said.
    """
    running = of_local_stack(given.settings)
    if running is given.settings:
        return running
    values = dict(flatten(given.settings.model_dump()))
    said = {key: values[key] for key in given.origins if key not in OF_THE_STACK and not key.startswith("local.")}
    changed = {variable(key): value if isinstance(value, str) else json.dumps(value) for key, value in said.items()}
    return load(environment={**running.environment(), **changed}).settings


def _restart_part(settings: Settings) -> None:
    """The stack's supervisor of the jobs gave up when it met state that did not fit: it may look again."""
    from headrace.local import state

    now = state.running(settings.data_dir)
    if now and any(part.name == "jobs" and part.state == "failed" for part in now.parts):
        state.request(settings.data_dir, do="restart", part="jobs")
        out.print("the part jobs of the stack is started again: `headrace status`")


@app.command("list")
@with_settings
def list_jobs(
    settings: Settings, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Show both jobs: state, since when, last checkpoint, newest state on disk, records found lost and not accepted."""
    settings = of_local_stack(settings)
    rest = FlinkRest(rest_of(settings))
    listed = rest.jobs()
    rows = [_row(settings, rest, job, flink_jobs.active(settings, job, listed)) for job in flink_jobs.JOBS]
    if as_json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    table = Table(*rows[0], box=None, header_style="bold")
    for row in rows:
        table.add_row(*(str(value) if value is not None else "-" for value in row.values()))
    out.print(table)


def _row(settings: Settings, rest: FlinkRest, job: flink_jobs.Job, running: RunningJob | None) -> dict[str, object]:
    checkpoint = rest.last_checkpoint(running.id) if running else None
    newest = newest_state(job.folder(settings))
    return {
        "job": job.name,
        "id": running.id if running else None,
        "state": running.state if running else "not there",
        "since_s": round(time.time() - running.start_ms / 1000) if running else None,
        "checkpoint": checkpoint["id"] if checkpoint else None,
        "checkpoint_age_s": round(time.time() - checkpoint["latest_ack_timestamp"] / 1000) if checkpoint else None,
        "newest_state": str(newest.path) if newest else None,
        "lost": lost.count if (lost := Lost.read(job.folder(settings) / Lost.FILE)) else 0,
    }


def of_local_stack(settings: Settings) -> Settings:
    """Where a local stack runs in the data directory: its settings, its Flink in this process's environment.

    Elsewhere flink.rest and Flink's own variables say which cluster is meant.
    """
    from headrace.local import state
    from headrace.local.flink import environment

    if settings.flink.rest or "FLINK_CONF_DIR" in os.environ:
        return settings
    if (running := state.running(settings.data_dir)) is None:
        raise DependencyError("no local stack runs: start it with `headrace up`, or name a Flink with flink.rest")
    os.environ.update(environment(running.settings))
    return running.settings
