"""Flink ends between a checkpoint and the commit of its transactions, or sleeps there, longer than they live.

The broker then aborts what the checkpoint counts as written. That must never pass in silence.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka import Producer

from headrace.contract import topics
from headrace.contract.settings import ROOT, Settings, load
from headrace.flink import FlinkRest, newest_state
from headrace.jobs import CLEAN, JOBS, active
from headrace.kafka import Cluster, producer_config
from headrace.local import process
from headrace.local.flink import flink as flink_parts
from headrace.local.parts import JOBMANAGER, TASKMANAGER, ready
from headrace.topics import create_topics

DOCUMENTS = 200
TRIES = 10
pytestmark = pytest.mark.timeout(1200)


@dataclass
class Outage:
    """A Flink of this test's own beside the session's broker, which can be killed and frozen."""

    settings: Settings
    environment: dict[str, str] = field(default_factory=dict)
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    published: int = 0

    def up(self) -> None:
        parts = flink_parts(self.settings)
        self.environment = parts.environment
        for part in (parts.jobmanager, parts.taskmanager):
            self.running[part.name] = process.start(part, self.settings.data_dir)
        self.wait(lambda: ready(TASKMANAGER, self.settings), "slots")

    def down(self) -> None:
        """SIGKILL, Python workers included."""
        process.signal_all(process.marked(self.settings.data_dir), signal.SIGKILL)
        for part in self.running.values():
            part.wait(30)
        process.end(process.marked(self.settings.data_dir), grace_s=0)

    def wait(self, reached: Callable[[], bool], what: str, timeout_s: float = 240) -> None:
        deadline = time.monotonic() + timeout_s
        while not reached():
            assert time.monotonic() < deadline, f"no {what} within {timeout_s:.0f} s"
            time.sleep(0.2)

    def publish(self) -> None:
        """One burst, all of it written by the clean job and none of it committed when this returns, if that can be."""
        producer = Producer(producer_config(self.settings.kafka.brokers))
        for _ in range(DOCUMENTS):
            text = f"this is document {self.published} of those that nobody may lose"
            producer.produce(self.settings.topic(topics.RAW), text.encode(), partition=self.published % 4)
            self.published += 1
        assert producer.flush(30) == 0

    def waiting(self) -> int:
        """Offsets of `text.clean` that stand in open transactions."""
        cluster = Cluster(self.settings)
        open_too = sum(cluster.end_offsets(topics.CLEAN, committed=False).values())
        return open_too - sum(cluster.end_offsets(topics.CLEAN).values())

    def headrace(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headrace.cli.main", *arguments],
            cwd=ROOT,
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )

    def variables(self) -> dict[str, str]:
        own = {"HEADRACE_CONFIG": os.devnull, "PYTHONPATH": str(ROOT), "COLUMNS": "400"}
        return {**os.environ, **self.environment, **self.settings.environment(), **own}

    def verify(self) -> tuple[int, dict[str, int], str]:
        """Exit code, lost records by stage, and all that was said."""
        done = self.headrace("verify", "--json")
        report = json.loads(done.stdout)
        return done.returncode, {stage["stage"]: stage["lost"] for stage in report["stages"]}, done.stdout

    def all_accepted(self) -> bool:
        cluster = Cluster(self.settings)
        return sum(1 for _ in cluster.read_all(topics.CLEAN, {}, cluster.end_offsets(topics.CLEAN))) == self.published

    def triggered(self) -> tuple[str, int]:
        """The clean job and the number of its last checkpoint that was begun."""
        rest = FlinkRest(self.settings.flink.rest)
        running = active(self.settings, CLEAN, rest.jobs())
        assert running is not None
        with urllib.request.urlopen(f"{rest.rest}/jobs/{running.id}/checkpoints", timeout=30) as answer:
            history = json.load(answer)["history"]
        return running.id, max((checkpoint["id"] for checkpoint in history), default=0)

    def strike(self, number: signal.Signals) -> None:
        """Signal Flink right when the checkpoint with a whole burst is complete, its commit still under way.

        The burst is published when one checkpoint has just begun, and written before the next: that one counts it as
        written. Repeats until it was hit: this checkpoint is there, and the burst stands in open transactions.
        """
        for _ in range(TRIES):
            self.wait(self.all_accepted, "acceptance of what was published before")
            before = max(2, self.triggered()[1])  # not while the job is still starting
            self.wait(lambda before=before: self.triggered()[1] > before, "beginning of a checkpoint")
            self.publish()
            self.wait(lambda: self.waiting() >= DOCUMENTS or self.all_accepted(), "transaction")
            job, last = self.triggered()
            complete = CLEAN.folder(self.settings) / f"checkpoints/{job}/chk-{last + 1}/_metadata"
            deadline = time.monotonic() + 240
            while not complete.exists() and time.monotonic() < deadline:
                pass
            for name in (TASKMANAGER, JOBMANAGER):
                self.running[name].send_signal(number)
            time.sleep(1)  # what was sent before arrives
            if complete.exists() and self.waiting() >= DOCUMENTS:
                return
            self.recover()
        raise AssertionError(f"not hit in {TRIES} tries")

    def recover(self) -> None:
        """Go on after a blow that did not hit."""
        for stopped in process.marked(self.settings.data_dir):
            stopped.send_signal(signal.SIGCONT)
        if any(part.poll() is not None for part in self.running.values()):
            self.down()
            self.up()
        done = self.headrace("jobs", "ensure", "--accept-loss")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def outage(broker: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Outage]:
    """A Flink, and jobs whose transactions live as long as the test asks."""
    from headrace.local import ports

    free = ports.choose(
        load(environment={}, assignments=[f"local.ports.{n}=0" for n in broker.local.ports.model_dump()]).settings
    )
    assignments = [
        f"kafka.topic_prefix=o{uuid4().hex[:6]}.",
        f"local.data_dir={tmp_path}",
        "flink.checkpoint_interval_ms=5000",
        "flink.parallelism=1",
        f"flink.rest=http://127.0.0.1:{free.flink}",
        *(f"local.ports.{name}={port}" for name, port in free.model_dump().items()),
        *request.param,
    ]
    made = Outage(load(environment=broker.environment(), assignments=assignments).settings)
    create_topics(Cluster(made.settings))
    made.up()
    try:
        done = made.headrace("jobs", "ensure")
        assert done.returncode == 0, done.stderr
        yield made
    finally:
        made.down()


SHORT = ("kafka.transaction_timeout_ms=10000",)


@pytest.mark.parametrize("outage", [SHORT], indirect=True)
def test_an_outage_longer_than_transactions_live_is_refused_until_the_loss_is_accepted(outage: Outage) -> None:
    outage.strike(signal.SIGKILL)
    outage.down()
    outage.wait(lambda: outage.waiting() == 0, "abort by the broker")
    outage.up()
    refused = outage.headrace("jobs", "ensure")
    assert refused.returncode == 4
    assert re.search(r"old, transactions live \d+ s .*--accept-loss", refused.stderr)
    accepted = outage.headrace("jobs", "ensure", "--accept-loss")
    assert accepted.returncode == 0, accepted.stderr
    found = re.search(r"clean: went on without (\d+) records", accepted.stdout)
    assert found, accepted.stdout
    lost = int(found[1])
    assert lost == DOCUMENTS
    code, by_stage, said = outage.verify()
    assert (code, by_stage["clean"]) == (4, lost)
    assert "text.raw[0]@" in said
    outage.publish()
    outage.wait(lambda: outage.waiting() == 0, "commit of what came later")
    assert outage.verify()[1]["clean"] == lost
    assert outage.headrace("jobs", "ensure").returncode == 0, "accepted once and for all"


@pytest.mark.parametrize("outage", [()], indirect=True)
def test_with_the_default_time_out_nothing_is_lost(outage: Outage) -> None:
    outage.strike(signal.SIGKILL)
    outage.down()
    time.sleep(25)  # longer than the broker needs to notice what is too old
    assert outage.waiting() >= DOCUMENTS
    outage.up()
    done = outage.headrace("jobs", "ensure")
    assert done.returncode == 0, done.stderr
    assert "clean: all that it has read has its outcome" in done.stdout
    outage.wait(outage.all_accepted, "acceptance of all")
    assert outage.verify()[:2] == (0, {"clean": 0, "tokenize": 0, "plan": 0, "train": 0})


@pytest.mark.parametrize("outage", [SHORT], indirect=True)
def test_a_job_that_slept_over_its_transactions_is_stopped_and_says_what_is_gone(outage: Outage) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-m", "headrace.cli.main", "jobs", "ensure", "--watch"],
        cwd=ROOT,
        env=outage.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        outage.strike(signal.SIGSTOP)
        outage.wait(lambda: outage.waiting() == 0, "abort by the broker")
        for frozen in process.marked(outage.settings.data_dir):
            frozen.send_signal(signal.SIGCONT)
        _, said = watch.communicate(timeout=300)
    finally:
        watch.kill()
        watch.wait()
    assert watch.returncode == 4, said
    assert re.search(r"job clean was stopped: \d+ records have no outcome: text\.raw\[\d\]@\d+", said)
    newest = newest_state(CLEAN.folder(outage.settings))
    assert newest is not None
    assert newest.path.parent.name == "savepoints"
    again = outage.headrace("jobs", "ensure")
    assert (again.returncode, "--accept-loss" in again.stderr) == (4, True)
    assert outage.headrace("jobs", "ensure", "--accept-loss").returncode == 0
    code, by_stage, _ = outage.verify()
    assert (code, by_stage["clean"]) == (4, DOCUMENTS)
    assert all(active(outage.settings, job, FlinkRest(outage.settings.flink.rest).jobs()) for job in JOBS)
