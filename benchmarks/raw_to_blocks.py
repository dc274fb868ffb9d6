"""Raw documents to blocks: both Flink jobs, exactly-once, against the same functions in a bare loop on two processes.

    python -m benchmarks.raw_to_blocks_thin [--documents 60000]

The documents wait in an open transaction and become visible to the running, warmed-up jobs at once, when it commits;
the time ends when the seals and rejects that everyone can read account for all of them. The loop decodes, normalises,
judges, fingerprints, encodes, packs and serialises the same bytes in memory: no Kafka, no Flink, no JSON in between.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Any

import psutil

from benchmarks.local import stack
from benchmarks.results import tell
from benchmarks.texts import texts
from flink_jobs.text.accept import Cleaner
from flink_jobs.text.normalise import fingerprint
from flink_jobs.text.pack import Encoded, Window, pack
from flink_jobs.text.tokens import Encoder
from headrace.contract.blocks import Seal
from headrace.contract.digests import shard_of
from headrace.contract.documents import PLAIN
from headrace.contract.errors import Rejected
from headrace.contract.settings import Settings, load
from headrace.contract.topics import RAW, REJECTED, TOPICS, WINDOWS
from headrace.kafka import Cluster, coordinate, transactional_producer
from headrace.local import parts, process

JOBS_ALONE = (parts.BROKER, parts.JOBMANAGER, parts.TASKMANAGER, parts.JOBS)
PROCESSES = 2
"""Of the bare loop: as many as the jobs' default parallelism."""
WARM_UP = 2_000
WINDOW_DOCUMENTS = 2_000
"""The bare loop packs after so many; the jobs pack what came within tokenize.window_s."""
TIMEOUT_S = 900.0
HEADERS: dict[str, bytes] = {"content-type": PLAIN.encode(), "source": b"bench"}


class Accounted:
    """Counts the documents that have a final outcome: sealed in a window, or rejected."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.position: dict[str, dict[int, int]] = {WINDOWS: {}, REJECTED: {}}
        self.documents = 0

    def look(self) -> int:
        """How many by now."""
        for topic, start in self.position.items():
            ends = self.cluster.end_offsets(topic)
            for record in self.cluster.read_all(topic, start, ends):
                sealed = topic == WINDOWS
                self.documents += Seal.decode(record.value(), coordinate(record)).documents if sealed else 1
            self.position[topic] = ends
        return self.documents

    def wait(self, documents: int) -> None:
        """Block until all of them have one."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.look() < documents:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.documents} of {documents} documents after {TIMEOUT_S:.0f} s")
            time.sleep(0.2)


def through_the_jobs(documents: Sequence[bytes]) -> tuple[float, dict[str, float]]:
    """Seconds until all documents are blocks, or rejected; and the CPU seconds of each part in that time."""
    with stack(JOBS_ALONE) as own:
        accounted = Accounted(Cluster(own.settings))
        send(own.settings, documents[:WARM_UP])
        accounted.wait(WARM_UP)
        before = cpu_seconds(own.settings)
        begun = send(own.settings, documents[WARM_UP:])
        accounted.wait(len(documents))
        seconds = time.monotonic() - begun
        return seconds, {name: used - before.get(name, 0.0) for name, used in cpu_seconds(own.settings).items()}


def send(settings: Settings, documents: Sequence[bytes]) -> float:
    """Write all of them in one transaction, evenly over the partitions; the moment at which it was committed."""
    producer = transactional_producer(settings, "bench")
    partitions = next(topic.partitions for topic in TOPICS if topic.name == RAW)
    producer.begin_transaction()
    for number, value in enumerate(documents):
        while True:
            try:
                producer.produce(settings.topic(RAW), value, headers=dict(HEADERS), partition=number % partitions)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(60)
    begun = time.monotonic()
    producer.commit_transaction(60)
    return begun


def cpu_seconds(settings: Settings) -> dict[str, float]:
    """By part; the Python workers of the TaskManager apart from its Java."""
    used: Counter[str] = Counter()
    for part in JOBS_ALONE:
        for one in process.marked(settings.data_dir, part):
            try:
                times, java = one.cpu_times(), one.name() == "java"
            except psutil.NoSuchProcess:
                continue
            used["Python workers" if part == parts.TASKMANAGER and not java else part] += times.user + times.system
    return dict(used)


def bare_loop(first: int, documents: Sequence[bytes], barrier: Any) -> tuple[float, float]:
    """Seconds for this process' share of the documents, once all processes are ready; and CPU seconds."""
    settings = load(environment={}).settings
    encoder = Encoder.load(settings.tokenizer_file)
    work(documents[:WARM_UP], first, settings, encoder)
    barrier.wait()
    begun, used = time.perf_counter(), time.process_time()
    work(documents, first, settings, encoder)
    return time.perf_counter() - begun, time.process_time() - used


def work(documents: Sequence[bytes], partition: int, settings: Settings, encoder: Encoder) -> int:
    """All that the jobs do to the documents, without the jobs; the bytes of all blocks."""
    size, seen, cleaner = 0, set[bytes](), Cleaner(settings.clean)
    shards: dict[int, list[Encoded]] = defaultdict(list)
    for offset, value in enumerate(documents):
        try:
            document = cleaner.accept(value, HEADERS, (partition, offset), 0)
        except Rejected:
            continue
        if (mark := fingerprint(document.text)) in seen:
            continue
        seen.add(mark)
        shard = shard_of(partition, offset, settings.tokenize.shards)
        tokens = encoder.encode(document.text)
        shards[shard].append(Encoded((partition, offset), document.raw, 0, document.source, tokens))
        if (offset + 1) % WINDOW_DOCUMENTS == 0:
            size += pack_all(shards, settings, encoder)
    return size + pack_all(shards, settings, encoder)


def pack_all(shards: dict[int, list[Encoded]], settings: Settings, encoder: Encoder) -> int:
    """Pack and serialise what was gathered; the bytes of the blocks."""
    size = 0
    for shard, inside in shards.items():
        window = Window(0, shard, encoder.digest, encoder.begin)
        size += sum(len(packed.block.encode()) for packed in pack(inside, window, settings.tokenize.block_tokens))
    shards.clear()
    return size


def through_the_loop(documents: Sequence[bytes]) -> tuple[float, float]:
    """Seconds until the slowest process is done; CPU seconds of all."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(PROCESSES, context) as pool:
        barrier = manager.Barrier(PROCESSES)
        shares = [documents[WARM_UP + number :: PROCESSES] for number in range(PROCESSES)]
        took = list(pool.map(bare_loop, range(PROCESSES), shares, [barrier] * PROCESSES))
        return max(seconds for seconds, _ in took), sum(cpu for _, cpu in took)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=60_000)
    count = arguments.parse_args().documents
    source = texts(load(environment={}).settings)
    documents = [text.encode() for text in islice(source, WARM_UP + count)]
    bare_s, bare_cpu = through_the_loop(documents)
    jobs_s, cpu = through_the_jobs(documents)
    megabytes = sum(map(len, documents[WARM_UP:])) / 1e6
    print(f"{count} documents, {megabytes:.1f} MB")
    print(f"bare loop on {PROCESSES} processes: {bare_s:.1f} s, {count / bare_s:,.0f} documents/s")
    print(f"both jobs: {jobs_s:.1f} s, {count / jobs_s:,.0f} documents/s")
    print(f"CPU seconds of the loop: {bare_cpu:.1f}; of the jobs' run: {sum(cpu.values()):.1f},", end=" ")
    print(", ".join(f"{name} {used:.1f}" for name, used in cpu.items()))
    return 0 if tell("raw_to_blocks_thin", bare_s / jobs_s) else 1


if __name__ == "__main__":
    sys.exit(main())
