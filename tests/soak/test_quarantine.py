"""Fifty documents in a row that kill their worker, ones that stall it, and ones far apart: what each costs.

Prints the restarts of each job and how long the stream took.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_stack import make_settings

from headrace.contract import topics
from headrace.jobs import CLEAN, JOBS, Job
from headrace.kafka import Cluster
from headrace.local.flink import environment
from headrace.local.parts import BROKER, JOBMANAGER, TASKMANAGER, WORKERS
from headrace.local.stack import Stack
from headrace.topics import create_topics
from tests.hostile import ACCEPTED, STALLING, Hostile, text
from tests.integration.jobs_stream import Raw, Stream
from tests.integration.raw_client import write

TIMEOUT_S = 5


@pytest.fixture
def stream(jars_there: None, tmp_path: Path) -> Iterator[Stream]:
    """Under the supervisor: when a worker is killed Beam may count below zero and end the whole TaskManager."""
    with Stack(
        make_settings(tmp_path, f"flink.document_timeout_s={TIMEOUT_S}"), (BROKER, JOBMANAGER, TASKMANAGER, WORKERS)
    ) as stack:
        stack.wait_running(300)
        create_topics(Cluster(stack.settings))
        made = Stream(stack.settings, environment(stack.settings))
        made.module = "tests.integration.hostile_jobs"
        made.good_states = ("CREATED", "RUNNING", "FAILING", "RESTARTING")
        try:
            made.start()
            yield made
        finally:
            made.end()
        print("starts of the TaskManager:", {part.name: part.restarts for part in stack.state().parts}[TASKMANAGER] + 1)


def good(first: int, last: int) -> list[Hostile]:
    return [Hostile(f"good {number}", text(f"document {number}").encode()) for number in range(first, last)]


def deadly(first: int, last: int) -> list[Hostile]:
    orders = ("abort", "exit", "kill")
    return [
        Hostile(f"deadly {number}", text(f"the {number}th, clean!{orders[number % 3]}").encode(), "quarantined")
        for number in range(first, last)
    ]


def restarts(stream: Stream, job: Job) -> int:
    """How often Flink has restarted the job; waits until the metric is there, a few seconds after a job's start."""
    address = f"{stream.settings.flink.rest}/jobs/{stream.jobs[job]}/metrics?get=numRestarts"
    for _ in range(60):
        with urllib.request.urlopen(address, timeout=10) as answer:
            if found := json.load(answer):
                return int(found[0]["value"])
        time.sleep(1)
    raise TimeoutError(f"no metric of job {job.name} after a minute")


def run(stream: Stream, documents: list[Hostile], what: str) -> dict[Raw, Hostile]:
    """Write the documents and wait for their outcomes, each as its row says."""
    before, begun = {job: restarts(stream, job) for job in JOBS}, time.monotonic()
    written = write(stream.cluster.brokers, stream.settings.topic(topics.RAW), documents)
    stream.published |= {raw: document.value for raw, document in written.items()}
    stream.settle(1500)
    took = {job.name: restarts(stream, job) - before[job] for job in JOBS}
    print(f"\n{what}: {len(documents)} documents, {time.monotonic() - begun:.0f} s, restarts {took}")
    outcomes = [(document.raw, ACCEPTED) for document, _ in stream.clean()]
    outcomes += [(headers.raw, headers.reason) for headers, _ in stream.rejected("clean")]
    late = {headers.raw: f"tokenize {headers.reason}" for headers, _ in stream.rejected("tokenize")}
    assert sorted(raw for raw, _ in outcomes) == sorted(stream.published), "one outcome each"
    found = dict(outcomes) | late
    assert {written[raw].name: found[raw] for raw in written if found[raw] != written[raw].outcome} == {}
    return written


@pytest.mark.timeout(2400)
def test_bad_documents_cost_restarts_and_nothing_else(stream: Stream) -> None:
    run(stream, good(0, 2000), "good ones alone")
    run(stream, [*good(2000, 3000), *deadly(0, 50), *good(3000, 4000)], "50 deadly ones in a row")
    assert restarts(stream, CLEAN) <= 8, "one subtask may lose its worker while it has a good one in hand"
    run(stream, [*good(4000, 4500), *STALLING, *good(4500, 5000)], "4 that stall")
    apart = [one for n in range(4) for one in (*good(6000 + n * 6000, 12000 + n * 6000), *deadly(50 + n, 51 + n))]
    run(stream, apart, "4 deadly ones, 6,000 good ones between")
    assert stream.texts().keys() == {document.raw for document, _ in stream.clean()} - {
        headers.raw for headers, _ in stream.rejected("tokenize")
    }
