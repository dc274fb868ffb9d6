"""How fast is verify, and how much memory does it take, at the size of millions of documents?

    python -m benchmarks.verify_at_size [--documents 2_000_000] [--more 100_000]

Writes the records of so many tiny documents, from `text.raw` to manifests, to a real broker. Then a bare loop reads the
same records and hashes their bytes, and `headrace verify` proves them: records a second and the largest resident memory
of each process. At last `headrace verify --cut`, some more documents, and verify from that cut.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import xxhash
from confluent_kafka import Consumer, KafkaError, TopicPartition

from benchmarks.local import stack
from benchmarks.records import Deployment
from benchmarks.results import machine, tell
from headrace.audit.cut import READ
from headrace.contract.settings import Settings
from headrace.contract.topics import DAY_MS
from headrace.kafka import Cluster, brokers_of, consumer_config
from headrace.topics import create_topics

MIB = 1024 * 1024
BARE = "bare"
"""The argument by which this program is the bare loop."""


class Ran(NamedTuple):
    """What a process printed, how long it took from its start to its end, and its largest resident memory."""

    output: str
    seconds: float
    mib: float


def run(command: Sequence[str], settings: Settings) -> Ran:
    """Run a process of its own; raises CalledProcessError unless it exits with 0."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, env={**os.environ, **settings.environment()}
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return Ran(output, time.monotonic() - began, usage.ru_maxrss / 1024)


def bare(brokers: str, topics: Sequence[str]) -> None:
    """Read every record of the topics, partition by partition, and hash its bytes; prints records and seconds."""
    began, records, digest = time.monotonic(), 0, xxhash.xxh3_128()
    soon: dict[str, Any] = {"enable.partition.eof": True, "fetch.wait.max.ms": 10}  # as verify itself reads
    consumer = Consumer(consumer_config(brokers, **soon))
    for topic in topics:
        for partition in consumer.list_topics(topic, timeout=15).topics[topic].partitions:
            consumer.assign([TopicPartition(topic, partition, 0)])
            records += read_one(consumer, digest)
    consumer.close()
    print(json.dumps({"records": records, "seconds": time.monotonic() - began}))


def read_one(consumer: Consumer, digest: Any) -> int:
    """Records up to the end of the partition that is assigned."""
    records = 0
    while True:
        for message in consumer.consume(1000, timeout=0.05):
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                return records
            digest.update(message.value() or b"")
            records += 1


def verify(settings: Settings, *more: str) -> dict[str, Any]:
    """`headrace verify`; prints what it took, returns its report."""
    ran = run(["-m", "headrace.cli.main", "verify", "--settled", "--json", *more], settings)
    report: dict[str, Any] = json.loads(ran.output)
    assert report["holds"], report
    assert report["lost"] == report["duplicated"] == report["in_flight"] == 0, report
    show("verify", report["records"], report["seconds"], ran.mib)
    return report


def show(what: str, records: int, seconds: float, mib: float) -> None:
    rate = records / seconds
    print(f"{what:20} {records:12,} records in {seconds:7.1f} s, {rate:9,.0f} records/s, {mib:6,.0f} MiB", flush=True)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=2_000_000)
    arguments.add_argument("--more", type=int, default=100_000, help="documents behind the verified cut")
    said = arguments.parse_args()
    print(machine())
    with stack(["broker"]) as own:
        return measure(own.settings, said.documents, said.more)


def measure(settings: Settings, documents: int, more: int) -> int:
    cluster = Cluster(settings)
    create_topics(cluster)
    began = time.monotonic()
    deployment = Deployment(cluster)
    now_ms = int(time.time() * 1000)
    deployment.add(documents, now_ms - 3 * DAY_MS)  # older than retention.keep_hours, so a cut may lie behind them
    print(f"wrote the records of {documents:,} documents in {time.monotonic() - began:.0f} s", flush=True)
    topics = ",".join(settings.topic(name) for name in READ)
    loop = run(["-m", "benchmarks.verify_at_size", BARE, brokers_of(settings), topics], settings)
    floor = json.loads(loop.output)
    show("bare loop", floor["records"], floor["seconds"], loop.mib)
    report = verify(settings)
    assert report["records"] == floor["records"], (report, floor)
    assert report["stages"][0]["entered"] == documents, report
    cut = run(["-m", "headrace.cli.main", "verify", "--cut", "--json"], settings)
    print(f"verify --cut took {cut.seconds:.1f} s and {cut.mib:,.0f} MiB", flush=True)
    deployment.add(more, now_ms)
    later = verify(settings)
    assert later["verified_before"]["published"] == documents, later
    assert later["stages"][0]["entered"] == documents + more, later
    return 0 if tell("verify_at_size", floor["seconds"] / report["seconds"]) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == [BARE]:
        bare(sys.argv[2], sys.argv[3].split(","))
    else:
        sys.exit(main())
