"""What near dedup costs in the clean job: CPU time, and state for each document, by state backend.

    python -m benchmarks.near_dedup_in_job [--documents 60000] [--backend rocksdb|hashmap]

Without near dedup, then with it, on one Flink; the same documents, published in one transaction each time. CPU seconds
are those of the TaskManager and its Python workers from the commit until the job has committed its position behind the
last document. What the state is at more documents, benchmarks/near_dedup_state.py says.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from benchmarks.local import stack
from benchmarks.raw_to_blocks import send
from benchmarks.results import tell
from benchmarks.texts import texts
from headrace import jobs
from headrace.contract.settings import Settings, load
from headrace.contract.topics import CLEAN, RAW, REJECTED
from headrace.flink import FlinkRest, rest_of
from headrace.kafka import Cluster
from headrace.local import parts, process
from headrace.local.flink import environment
from headrace.local.ports import HOST
from headrace.topics import create_topics

PARTS = (parts.BROKER, parts.JOBMANAGER, parts.TASKMANAGER, parts.WORKERS)
WARM_UP = 2_000
TIMEOUT_S = 1200.0
HEAP = re.compile(r"^flink_taskmanager_Status_JVM_Memory_Heap_Used\{.*\} (\S+)$", re.M)


@dataclass
class Job:
    """The clean job of a deployment of its own. `least_heap`: bytes, the least that was in use in the last wait."""

    settings: Settings
    id: str = ""
    least_heap: float = 0.0

    def __post_init__(self) -> None:
        self.cluster, self.rest = Cluster(self.settings), FlinkRest(rest_of(self.settings))
        create_topics(self.cluster)
        with jobs.Program(self.settings) as program:
            self.id = jobs.start(program, jobs.CLEAN).id

    def take(self, documents: list[bytes]) -> tuple[float, float]:
        """Publish them and wait until the job has committed that it is done with them; seconds, CPU seconds."""
        used, begun = cpu_of(self.settings), send(self.settings, documents)
        ends = self.cluster.end_offsets(RAW)
        heaps = []
        while not self.is_done(ends):
            state = self.rest.job(self.id)
            if state not in ("CREATED", "RUNNING") or time.monotonic() > begun + TIMEOUT_S:
                cause = self.rest.root_cause(self.id)
                raise RuntimeError(f"the job is {state} after {time.monotonic() - begun:.0f} s: {cause}")
            heaps.append(heap(self.settings))
            time.sleep(0.5)
        self.least_heap = min(filter(None, heaps[len(heaps) // 2 :]), default=0.0)
        return time.monotonic() - begun, cpu_of(self.settings) - used

    def is_done(self, ends: dict[int, int]) -> bool:
        """Behind the last document of each partition stands only the end of its transaction."""
        at = self.cluster.committed(jobs.CLEAN.name, RAW)
        return all(at.get(partition, 0) >= end - 1 for partition, end in ends.items())

    def tell_state(self, documents: int) -> None:
        """One line about the last checkpoint."""
        last = self.rest.last_checkpoint(self.id) or {}
        size, took = int(last["state_size"]), last["end_to_end_duration"]
        outcomes = {name: sum(self.cluster.end_offsets(name).values()) for name in (CLEAN, REJECTED)}
        print(
            f"{documents:,} documents: {size / 1e6:.1f} MB of state, {size / documents:.0f} bytes a document;", end=" "
        )
        print(f"heap {self.least_heap / 1e6:.0f} MB; the last checkpoint took {took} ms; {outcomes}", flush=True)

    def end(self) -> None:
        self.rest.cancel(self.id)


def cpu_of(settings: Settings) -> float:
    """CPU seconds of TaskManager and workers by now."""
    times = [
        one.cpu_times()
        for part in (parts.TASKMANAGER, parts.WORKERS)
        for one in process.marked(settings.data_dir, part)
    ]
    return float(sum(each.user + each.system for each in times))


def heap(settings: Settings) -> float:
    """Bytes in use on the TaskManager's heap, garbage included; 0 when it does not answer."""
    url = f"http://{HOST}:{settings.local.ports.taskmanager_metrics}/metrics"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = HEAP.search(answer.read().decode())
    except OSError:
        return 0.0
    return float(found[1]) if found else 0.0


def deployment(base: Settings, near: bool) -> Settings:
    """Topics and state of its own."""
    name = "near" if near else "exact"
    said = [f"kafka.topic_prefix={name}.", f"clean.near_dedup={str(near).lower()}"]
    return load(environment=base.environment(), assignments=[*said, f"flink.state_dir={base.data_dir / name}"]).settings


def choose_backend(settings: Settings, name: str) -> None:
    """For jobs submitted from now on: they take it from the configuration of whoever submits them."""
    file = settings.data_dir / "run/flink-conf/config.yaml"
    file.write_text(re.sub("type: (rocksdb|hashmap)", f"type: {name}", file.read_text()))


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=60_000)
    arguments.add_argument("--backend", choices=("rocksdb", "hashmap"), default="rocksdb")
    said = arguments.parse_args()
    source: Iterator[bytes] = (text.encode() for text in texts(load(environment={}).settings))
    warm, some = list(islice(source, WARM_UP)), list(islice(source, said.documents))
    spent: dict[bool, float] = {}
    with stack(PARTS) as own:
        os.environ.update(environment(own.settings))
        choose_backend(own.settings, said.backend)
        for near in (False, True):
            job = Job(deployment(own.settings, near))
            job.take(warm)
            seconds, spent[near] = job.take(some)
            load_now = os.getloadavg()[0]
            print(
                f"{said.backend}, near dedup {'on' if near else 'off'}: {len(some) / seconds:,.0f} documents/s,",
                end=" ",
            )
            print(f"{spent[near] / len(some) * 1000:.2f} CPU ms a document, load {load_now:.0f}", flush=True)
            job.tell_state(len(warm) + len(some))
            job.end()
    return 0 if tell("near_dedup_in_job", spent[False] / spent[True]) else 1


if __name__ == "__main__":
    sys.exit(main())
