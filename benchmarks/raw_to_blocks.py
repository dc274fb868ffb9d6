"""Raw documents to blocks: both Flink jobs, exactly-once, against the same functions in a bare loop on two processes.

    python -m benchmarks.raw_to_blocks [--text page|message] [--documents 60000] [--jobs-only]

Everything is on: pages go through the profile `web` with all its rules, messages through `chat`; both have a language,
private things hidden, duplicates dropped. The documents wait in an open transaction and become visible to the running,
warmed-up jobs at once, when it commits; the time ends when the seals and rejects that everyone can read account for all
of them. The loop decodes, judges, fingerprints, encodes, packs and serialises the same bytes in memory: no Kafka, no
Flink, no JSON in between. Then a table says where the jobs' CPU time went.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from benchmarks.cpu import cpu_ms
from benchmarks.local import stack
from benchmarks.results import tell
from benchmarks.texts import MESSAGE, PAGE, texts
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
from headrace.local import parts

JOBS_ALONE = (parts.BROKER, parts.JOBMANAGER, parts.TASKMANAGER, parts.WORKERS, parts.JOBS)
PROCESSES = 2
"""Of the bare loop: as many as the jobs' default parallelism."""
KINDS = {"page": (PAGE, "clean.profile=web"), "message": (MESSAGE, "clean.profile=chat")}
WARM_UP = 20_000
"""Java compiles what it runs often; with 2,000 documents it had not begun to."""
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

    def wait(self, documents: int) -> float:
        """Block until all of them have one; documents a second between the first and the last time there were more."""
        deadline = time.monotonic() + TIMEOUT_S
        before, seen = self.documents, []
        while self.look() < documents:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.documents} of {documents} documents after {TIMEOUT_S:.0f} s")
            if self.documents > before:
                before = self.documents
                seen.append((time.monotonic(), before))
            time.sleep(0.3)
        seen.append((time.monotonic(), self.documents))
        (begun, few), (ended, many) = seen[0], seen[-1]
        return (many - few) / (ended - begun) if len(seen) > 1 else 0.0


@dataclass
class Took:
    """Seconds until all documents were through, documents a second while they came, milliseconds of CPU by user."""

    seconds: float
    steady: float = 0.0
    cpu: Counter[str] = field(default_factory=Counter)

    def tell(self, documents: int) -> None:
        """The table: microseconds of CPU for each document, the largest first."""
        for name, used in self.cpu.most_common():
            print(f"  {used / documents * 1e3:6.0f} us  {name}")


def through_the_jobs(documents: Sequence[bytes], *assignments: str) -> Took:
    """The first WARM_UP documents are not counted."""
    with stack(JOBS_ALONE, *assignments) as own:
        accounted = Accounted(Cluster(own.settings))
        send(own.settings, documents[:WARM_UP])
        accounted.wait(WARM_UP)
        before = cpu_ms(own.settings.data_dir, JOBS_ALONE)
        begun = send(own.settings, documents[WARM_UP:])
        steady = accounted.wait(len(documents))
        seconds = time.monotonic() - begun
        return Took(seconds, steady, cpu_ms(own.settings.data_dir, JOBS_ALONE) - before)


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


def bare_loop(first: int, documents: Sequence[bytes], profile: str, barrier: Any) -> tuple[float, float]:
    """Seconds for this process' share of the documents, once all processes are ready; and CPU seconds."""
    settings = load(environment={}, assignments=[profile]).settings
    encoder = Encoder.load(settings.tokenizer_file)
    work(documents[:WINDOW_DOCUMENTS], first, settings, encoder)
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


def through_the_loop(documents: Sequence[bytes], profile: str) -> Took:
    """Seconds until the slowest process is done."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(PROCESSES, context) as pool:
        barrier = manager.Barrier(PROCESSES)
        shares = [documents[WARM_UP + number :: PROCESSES] for number in range(PROCESSES)]
        both = [profile] * PROCESSES, [barrier] * PROCESSES
        took = list(pool.map(bare_loop, range(PROCESSES), shares, *both))
        return Took(
            max(seconds for seconds, _ in took), cpu=Counter({"loop": sum(round(1000 * cpu) for _, cpu in took)})
        )


def measure(kind: str, count: int, jobs_only: bool) -> bool:
    """Print what one kind of text takes; whether its ratio reaches its goal."""
    sentences, profile = KINDS[kind]
    source = texts(load(environment={}).settings, sentences=sentences)
    documents = [text.encode() for text in islice(source, WARM_UP + count)]
    megabytes = sum(map(len, documents[WARM_UP:])) / 1e6
    print(f"{count} documents ({kind}, {profile}), {megabytes:.1f} MB; load {os.getloadavg()[0]:.1f}")
    if not jobs_only:
        bare = through_the_loop(documents, profile)
        print(f"bare loop on {PROCESSES} processes: {bare.seconds:.1f} s, {count / bare.seconds:,.0f} documents/s")
        bare.tell(count)
    jobs = through_the_jobs(documents, profile)
    print(f"both jobs: {jobs.seconds:.1f} s, {count / jobs.seconds:,.0f} documents/s", end="; ")
    print(f"steady rate {jobs.steady:.0f} documents/s", end="; ")
    print(f"{jobs.cpu.total() / count * 1e3:.0f} us of CPU a document, load {os.getloadavg()[0]:.1f}")
    jobs.tell(count)
    if jobs_only:
        return True
    print(f"by CPU time: {bare.cpu.total() / jobs.cpu.total():.3f}")
    return tell("raw_to_blocks" if kind == "page" else "messages_to_blocks", bare.seconds / jobs.seconds)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=60_000)
    arguments.add_argument("--text", choices=KINDS, action="append", help="one kind alone; else all")
    arguments.add_argument("--jobs-only", action="store_true", help="no bare loop, no ratio")
    said = arguments.parse_args()
    reached = [measure(kind, said.documents, said.jobs_only) for kind in said.text or KINDS]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    sys.exit(main())
