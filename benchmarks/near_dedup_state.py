"""The state of near dedup, bytes for each document, on the heap and in RocksDB; and what its chain of bands costs.

    python -m benchmarks.near_dedup_state [--documents 100000,300000] [--backends rocksdb,hashmap] [--text 350]

The views of clean.sql on a real TaskManager of default size, behind a source that makes rows up, no two alike, in place
of Kafka and Python, and before a sink that drops them. State is that of a checkpoint after the last row.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from string import Template

from benchmarks.local import stack
from benchmarks.near_dedup_in_job import PARTS, choose_backend, cpu_of, heap
from benchmarks.results import tell
from flink_jobs.clean.job import page
from flink_jobs.environment import make_environment
from headrace.contract.settings import Settings
from headrace.flink import FlinkRest, rest_of
from headrace.local.flink import environment

TIMEOUT_S = 900.0
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
    made = {"published": "", "dated": "", "outcomes": SINK, "judged": Template(JUDGED).substitute(text=text, keys=keys)}
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


def settled_state(rest: FlinkRest, job: str) -> dict[str, float]:
    """The checkpoint behind which state grows no more."""
    deadline, before = time.monotonic() + TIMEOUT_S, 0
    number = -1
    while True:
        last = rest.last_checkpoint(job)
        if rest.job(job) not in ("CREATED", "RUNNING") or time.monotonic() > deadline:
            raise RuntimeError(f"the job is {rest.job(job)}: {rest.root_cause(job)}")
        if last and last["id"] > number + 1:  # two on: one may have begun before
            if before > 100_000 and last["state_size"] < before * 1.002:
                return last
            number, before = last["id"], last["state_size"]
        time.sleep(0.5)


def measure(backend: str, documents: int, text: int) -> float:
    """Print one line; bytes of state for each document."""
    with stack(PARTS[1:], "clean.near_dedup=true") as own:
        os.environ.update(environment(own.settings))
        choose_backend(own.settings, backend)
        rest, used = FlinkRest(rest_of(own.settings)), cpu_of(own.settings)
        begun = time.monotonic()
        job = submit(own.settings, documents, text)
        last = settled_state(rest, job)
        spent = cpu_of(own.settings) - used
        size, took, in_use = last["state_size"], last["end_to_end_duration"], heap(own.settings) / 1e6
        print(
            f"{backend} {documents:,}: {size / documents:.0f} bytes of state a document, heap in use {in_use:.0f} MB,"
            f" {spent / documents * 1e6:.0f} CPU us a document, checkpoint {took} ms,"
            f" {time.monotonic() - begun:.0f} s, load {os.getloadavg()[0]:.0f}",
            flush=True,
        )
        rest.cancel(job)
        return size / documents


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", default="100000,300000")
    arguments.add_argument("--backends", default="rocksdb,hashmap")
    arguments.add_argument("--text", type=int, default=350)
    said = arguments.parse_args()
    counts = [int(count) for count in said.documents.split(",")]
    sizes = [[measure(backend, count, said.text) for count in counts] for backend in said.backends.split(",")]
    return 0 if tell("near_dedup_state", sizes[0][-1] / sizes[0][0]) else 1


if __name__ == "__main__":
    sys.exit(main())
