"""The state of near dedup, bytes for each document, on the heap and in RocksDB; and what its chain of bands costs.

    python -m benchmarks.near_dedup_state [--documents 100000,300000] [--backends rocksdb,hashmap] [--text 350]

The views of clean.sql on a real TaskManager of default size, behind a source that makes rows up, no two alike, in place
of Kafka and Python, and before a sink that drops them. State is that of a checkpoint after the last row.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import sys
import time
import urllib.request
from string import Template
from typing import Any

import orjson

from benchmarks.local import stack
from benchmarks.near_dedup_in_job import PARTS, choose_backend, cpu_of, heap
from benchmarks.results import tell
from flink_jobs.clean.job import page
from flink_jobs.environment import make_environment
from headrace.contract.settings import Settings
from headrace.flink import FlinkRest, rest_of
from headrace.local.flink import environment

TIMEOUT_S = 1200.0
NAME = re.compile(r"CREATE TEMPORARY \w+ (\w+)")
MADE_UP = """
CREATE TEMPORARY TABLE $name (id BIGINT) WITH (
  'connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '$first', 'fields.id.end' = '$last',
  'rows-per-second' = '$pace')
"""
SINK = """
CREATE TEMPORARY TABLE outcomes (
  `value` BYTES, `topic` STRING, `headers` MAP<STRING, BYTES>, `timestamp` TIMESTAMP_LTZ(3)
) WITH ('connector' = 'blackhole')
"""
# A slow source beside the fast one keeps the job, and its checkpoints, going.
JUDGED = """
CREATE TEMPORARY VIEW judged AS
SELECT CAST(REPEAT('x', $text) AS BYTES) AS `value`,
  CAST(SUBSTRING(MD5(CAST(id AS STRING)), 1, 16) AS BYTES) AS fingerprint,
  MAP['reason', CAST('duplicate' AS BYTES)] AS headers, ARRAY[$keys] AS bands, CURRENT_TIMESTAMP AS `timestamp`
FROM (SELECT id FROM fast UNION ALL SELECT id FROM slow)
"""


def submit(settings: Settings, documents: int, text: int) -> str:
    """The id of a job that takes so many rows in, each with `text` bytes to carry along."""
    env = make_environment(settings, "clean")
    keys = ", ".join(f"id * {6364136223846793005 + 2 * band}" for band in range(14))
    made = {
        "published": "",
        "dated": "",
        "weighed": "",
        "outcomes": SINK,
        "judged": Template(JUDGED).substitute(text=text, keys=keys),
    }
    for name, first, last, pace in (("fast", 1, documents, 1_000_000), ("slow", 10**9, 10**9 + 10**6, 1)):
        env.execute_sql(Template(MADE_UP).substitute(name=name, first=first, last=last, pace=pace))
    *definitions, insert = page(settings)
    for definition in definitions:
        if statement := made.get(NAME.findall(definition)[0], definition):
            env.execute_sql(statement)
    env.get_config().set("table.exec.state.ttl", "24 h")
    client = env.create_statement_set().add_insert_sql(insert).execute().get_job_client()
    assert client is not None
    return str(client.get_job_id())


def state_behind(settings: Settings, job: str, rows: int) -> dict[str, Any]:
    """A checkpoint that began when all rows had gone through every band."""
    rest, deadline = FlinkRest(rest_of(settings)), time.monotonic() + TIMEOUT_S
    wanted = None
    while True:
        last = rest.last_checkpoint(job)
        if rest.job(job) not in ("CREATED", "RUNNING") or time.monotonic() > deadline:
            raise RuntimeError(f"the job is {rest.job(job)}, {passed(settings, job)} rows: {rest.root_cause(job)}")
        if wanted is None and passed(settings, job) >= rows:
            wanted = (last["id"] if last else 0) + 2  # the next one may have begun before
        if last and wanted is not None and last["id"] >= wanted:
            return last
        time.sleep(0.5)


def passed(settings: Settings, job: str) -> int:
    """Rows that have come to the end of the job."""
    with urllib.request.urlopen(f"{rest_of(settings)}/jobs/{job}", timeout=30) as answer:
        last = orjson.loads(answer.read())["vertices"][-1]
    return int(last["metrics"]["read-records"] or 0)


def measure(settings: Settings, backend: str, documents: int, text: int) -> float:
    """Print one line; bytes of state for each document, NaN where the TaskManager does not stand so many."""
    choose_backend(settings, backend)
    begun, used = time.monotonic(), cpu_of(settings)
    job = submit(settings, documents, text)
    try:
        last = state_behind(settings, job, documents)
    except RuntimeError as error:
        print(f"{backend} {documents:,}: did not come to its end: {error}", flush=True)
        FlinkRest(rest_of(settings)).cancel(job)
        return math.nan
    spent, seconds = cpu_of(settings) - used, time.monotonic() - begun
    size, took, in_use = last["state_size"], last["end_to_end_duration"], heap(settings) / 1e6
    print(
        f"{backend} {documents:,}: {size / documents:.0f} bytes of state a document, heap in use {in_use:.0f} MB,"
        f" {spent / documents * 1e6:.0f} CPU us a document, checkpoint {took} ms,"
        f" {seconds:.0f} s, load {os.getloadavg()[0]:.0f}",
        flush=True,
    )
    FlinkRest(rest_of(settings)).cancel(job)
    return float(size / documents)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", default="100000,300000")
    arguments.add_argument("--backends", default="rocksdb,hashmap")
    arguments.add_argument("--text", type=int, default=350)
    said = arguments.parse_args()
    counts = [int(count) for count in said.documents.split(",")]
    with stack(PARTS[1:], "clean.near_dedup=true") as own:
        os.environ.update(environment(own.settings))
        backends = said.backends.split(",")
        sizes = [[measure(own.settings, backend, count, said.text) for count in counts] for backend in backends]
    ratio = sizes[0][-1] / sizes[0][0]
    return 0 if tell("near_dedup_state", ratio) and not math.isnan(ratio) else 1


if __name__ == "__main__":
    sys.exit(main())
