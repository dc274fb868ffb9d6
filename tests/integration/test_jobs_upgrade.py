"""From the jobs of this version to changed ones, by the real command of the changed version, while documents come."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest
from confluent_kafka import Producer

from headrace import jobs
from headrace.audit.verify import verify_once
from headrace.contract import topics
from headrace.contract.errors import ContractError
from headrace.contract.settings import ROOT, Settings, load
from headrace.flink import FlinkRest
from headrace.jobs import CLEAN, JOBS, PINNED, TOKENIZE, Pinned
from headrace.jobs.notes import Begun, Replaced
from headrace.kafka import Cluster, producer_config

# Another state operator in each job: the state of one version means nothing to the other.
CHANGES = (
    ("clean/clean.sql", "COUNT(*) OVER (", "SUM(1) OVER ("),
    (
        "tokenize/tokenize.sql",
        "ARRAY_AGG(document) AS documents\n",
        "ARRAY_AGG(document) AS documents, COUNT(*) AS n\n",
    ),
    ("tokenize/tokenize.sql", "FROM gathered AS g,", "FROM (SELECT * FROM gathered WHERE n > 0) AS g,"),
)


@pytest.fixture
def ensured(settings: Settings, flink: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """Settings under which jobs go to the session's cluster; what runs in the end is cancelled."""
    for name, value in flink.items():
        monkeypatch.setenv(name, value)
    quick = ["flink.checkpoint_interval_ms=500", "flink.parallelism=1", "tokenize.window_s=1"]
    own = load(environment=settings.environment(), assignments=quick).settings
    yield own
    rest = FlinkRest(own.flink.rest)
    for job in JOBS:
        if running := jobs.active(own, job, rest.jobs()):
            rest.cancel(running.id)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """A checkout of the next version."""
    there = tmp_path / "next"
    for part in ("headrace", "flink_jobs"):
        shutil.copytree(ROOT / part, there / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, after in CHANGES:
        file = there / "flink_jobs" / name
        assert file.read_text().count(before) == 1
        file.write_text(file.read_text().replace(before, after))
    return there


def headrace(checkout: Path, settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line of a version."""
    return subprocess.run(
        [sys.executable, "-m", "headrace.cli.main", *arguments],
        cwd=checkout,
        env={
            **os.environ,
            **settings.environment(),
            "HEADRACE_CONFIG": os.devnull,
            "PYTHONPATH": str(checkout),
            "COLUMNS": "400",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


class Load:
    """Documents, a hundred a second, until the block ends."""

    def __init__(self, settings: Settings) -> None:
        self.topic = settings.topic(topics.RAW)
        self.producer = Producer(producer_config(settings.kafka.brokers))
        self.stopping = Event()
        self.sent = 0
        self.thread = Thread(target=self.run)

    def run(self) -> None:
        while not self.stopping.wait(0.01):
            text = f"document number {self.sent} of those that come while the jobs are changed"
            self.producer.produce(self.topic, text.encode(), partition=self.sent % 4)
            self.producer.poll(0)
            self.sent += 1

    def __enter__(self) -> Load:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()
        assert self.producer.flush(30) == 0


def wait_for(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def plan_of(folder: Path) -> str:
    pinned = Pinned.read(folder / PINNED)
    assert pinned is not None
    return pinned.plan


@pytest.mark.timeout(600)
def test_an_upgrade_under_load_loses_nothing_and_doubles_nothing(ensured: Settings, changed: Path) -> None:
    settings, cluster = ensured, Cluster(ensured)
    with Load(settings) as coming:
        jobs.ensure(settings)
        wait_for(lambda: sum(cluster.end_offsets(topics.BLOCKS).values()) > 0, "blocks of the old jobs")
        before = {job: plan_of(job.folder(settings)) for job in JOBS}
        done = headrace(changed, settings, "jobs", "upgrade")
        assert done.returncode == 0, done.stdout + done.stderr
        upgraded_at = coming.sent
        wait_for(lambda: coming.sent > upgraded_at + 100, "documents after the upgrade")

    for job in JOBS:
        folder = job.folder(settings)
        assert plan_of(folder) != before[job]
        assert f"state was made by plan {before[job]}, the program is now plan {plan_of(folder)}" in done.stdout
        begun = Begun.read(folder / Begun.FILE)
        assert begun is not None
        assert sum(begun.positions.values()) > 0
        assert plan_of(folder.with_name(begun.before)) == before[job]
        assert (folder.with_name(begun.before) / Replaced.FILE).exists()
    assert "with an empty memory of duplicates" in done.stdout

    def report() -> tuple[int, ...]:
        found = verify_once(cluster, "main", 60, lambda _: lambda _: None)
        assert found.holds, found.wrong()
        return tuple(stage.left for stage in found.stages[:2])

    wait_for(lambda: report() == (coming.sent, coming.sent), f"{coming.sent} documents accepted and in blocks")

    # Where the state fits there is nothing to do, and what was set aside does not fit any more.
    again = headrace(changed, settings, "jobs", "upgrade", "clean")
    assert (again.returncode, "clean: its state fits, nothing to upgrade" in again.stdout) == (0, True), again.stderr
    jobs.stop_all(settings)
    begun = Begun.read(CLEAN.folder(settings) / Begun.FILE)
    assert begun is not None
    shutil.rmtree(CLEAN.folder(settings))
    CLEAN.folder(settings).with_name(begun.before).rename(CLEAN.folder(settings))
    with pytest.raises(ContractError, match="of before an upgrade"):
        jobs.start(settings, CLEAN)


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
