"""`jobs upgrade` killed between any two of its actions, `jobs ensure` in between: nothing lost, nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from upgrading import Load, changed, ensured, headrace, plan_of, wait_for

from headrace import jobs
from headrace.audit.verify import verify_once
from headrace.contract import topics
from headrace.contract.settings import ROOT, Settings, load
from headrace.jobs import JOBS, PINNED, TOKENIZE
from headrace.kafka import Cluster

__all__ = ["changed", "ensured"]  # fixtures
MOMENTS = (
    "clean: stopping with a savepoint",
    "tokenize: stopping with a savepoint",
    "clean: empty",
    "clean: begins anew",
    "tokenize: begins anew",
    "clean: submitted",
)
"""Said before a job is stopped, between the two jobs, before and after each state is set aside, between two starts."""


def upgrade_killed_after(moment: str, checkout: Path, settings: Settings) -> tuple[int | None, list[str]]:
    """Run the command and SIGKILL it when it has said `moment`; its exit code, None if it was killed, what it said."""
    own = {"HEADRACE_CONFIG": os.devnull, "PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1", "COLUMNS": "400"}
    running = subprocess.Popen(
        [sys.executable, "-m", "headrace.cli.main", "jobs", "upgrade"],
        cwd=checkout,
        env={**os.environ, **settings.environment(), **own},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    said = []
    for line in running.stdout:
        said.append(line.strip())
        if line.startswith(moment):
            running.send_signal(signal.SIGKILL)
            running.wait()
            return None, said
    return running.wait(), said


@pytest.mark.timeout(2400)
def test_an_upgrade_may_be_interrupted_anywhere(ensured: Settings, changed: Path) -> None:
    settings, cluster = ensured, Cluster(ensured)
    versions = [changed, ROOT]
    with Load(settings) as coming:
        jobs.ensure(settings)
        wait_for(lambda: sum(cluster.end_offsets(topics.BLOCKS).values()) > 0, "blocks of the old jobs")
        for number, moment in enumerate(MOMENTS):
            version = versions[number % 2]
            before = [plan_of(job.folder(settings)) for job in JOBS]
            code, said = upgrade_killed_after(moment, version, settings)
            assert code is None, f"{moment}: was not said: {said}"
            # What the stack's supervisor does all the time: start what may be started, refuse the rest.
            between = headrace(version, settings, "jobs", "ensure")
            assert between.returncode in (0, 4), between.stderr
            assert between.returncode == 0 or "headrace jobs upgrade" in between.stderr
            done = headrace(version, settings, "jobs", "upgrade")
            assert done.returncode == 0, [*said, done.stdout, done.stderr]
            after = [plan_of(job.folder(settings)) for job in JOBS]
            assert all(one != other for one, other in zip(before, after, strict=True)), moment

    def left() -> list[int]:
        found = verify_once(cluster, ["main"], 60, lambda _: lambda _: None).report
        assert found.holds, found.wrong()
        return [stage.left for stage in found.stages[:2]]

    wait_for(lambda: left() == [coming.sent] * 2, f"{coming.sent} documents accepted and in blocks")


@pytest.mark.timeout(300)
def test_a_job_that_is_not_empty_is_not_set_aside(ensured: Settings, changed: Path) -> None:
    settings = load(environment=ensured.environment(), assignments=["tokenize.window_s=60"]).settings
    cluster = Cluster(settings)
    jobs.ensure(settings)
    with Load(settings) as coming:
        wait_for(lambda: sum(cluster.committed("tokenize", topics.CLEAN).values()) > 0, "documents read by tokenize")
        jobs.stop_all(settings)  # with what is in the open window
    assert coming.sent > 0
    refused = headrace(changed, settings, "jobs", "upgrade", "tokenize")
    assert refused.returncode == 4, refused.stdout + refused.stderr
    assert "does not run and is not empty: text.clean[" in refused.stderr
    assert (TOKENIZE.folder(settings) / PINNED).exists()
    assert not list(settings.flink_state_dir.glob("tokenize.*"))
