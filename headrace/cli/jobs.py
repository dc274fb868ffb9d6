"""`headrace jobs`: the two Flink jobs, submitted where they are missing and listed."""

from __future__ import annotations

import os
import time
from typing import Annotated

import orjson
import typer
from rich.table import Table

from headrace import jobs as flink_jobs
from headrace.cli.options import out, with_settings
from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings
from headrace.flink import FlinkRest, RunningJob, newest_state, rest_of
from headrace.observe import start_logging

app = typer.Typer(name="jobs", help="The two Flink jobs: clean and tokenize.", no_args_is_help=True)
WATCH_S = 1.0


@app.command()
@with_settings
def ensure(
    settings: Settings,
    watch: Annotated[bool, typer.Option("--watch", help="Go on looking, once a second, until ended.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Start from state older than the sinks' transactions live.")
    ] = False,
) -> None:
    """Submit each job that does not run, from its newest checkpoint or savepoint and from nothing older.

    With state that does not fit (another cluster, topic or plan), that cannot be read, or that is missing though the
    job has written before, nothing is submitted and the exit code is 4.
    """
    settings = _of_local_stack(settings)
    with flink_jobs.alone(settings):
        if watch:
            _watch(settings, accept_loss)
        for done in flink_jobs.ensure(settings, accept_loss):
            came = f"submitted, from {done.from_state or 'the beginning'}" if done.submitted else "runs already"
            out.print(f"{done.job}: {came} ({done.id})", soft_wrap=True)


def _watch(settings: Settings, accept_loss: bool) -> None:
    """Ensure for ever; only a broken contract or a wrong setting ends it, a missing Flink or broker is waited for."""
    log = start_logging("jobs", settings.log.level)
    missing = ""
    while True:
        try:
            for done in flink_jobs.ensure(settings, accept_loss):
                if done.submitted:
                    log.info("submitted", extra={"job": done.job, "id": done.id, "restored": done.from_state})
            missing = ""
        except DependencyError as error:
            if str(error) != missing:
                log.warning("waiting", extra={"error": str(error)})
            missing = str(error)
        time.sleep(WATCH_S)


@app.command("list")
@with_settings
def list_jobs(
    settings: Settings, json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Show both jobs: state, since when, last checkpoint, newest state on disk."""
    settings = _of_local_stack(settings)
    rest = FlinkRest(rest_of(settings))
    listed = rest.jobs()
    rows = [_row(settings, rest, job, flink_jobs.active(settings, job, listed)) for job in flink_jobs.JOBS]
    if json:
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
    }


def _of_local_stack(settings: Settings) -> Settings:
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
