"""What a running stack takes over time: memory of its processes, lag of its readers, sampled every few seconds.

A sample maps a dotted name to a number: `seconds` since the first; `memory.PROCESS` resident MB of a part, its Java,
Python and forked processes together, but the workers of the TaskManager apart; `heap.taskmanager` MB in use at this
moment, garbage included; `lag.READER` what it has still to read, in records (trainer: steps);
`end.TOPIC` offsets written.
"""

from __future__ import annotations

import csv
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from headrace import runs
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, CLEAN, RAW
from headrace.jobs import JOBS
from headrace.kafka import Cluster
from headrace.local import parts, process, status
from headrace.local.ports import HOST

Sample = dict[str, float]
MB = 1e6
HEAP = re.compile(r"^flink_taskmanager_Status_JVM_Memory_Heap_Used\{.*\} (\S+)$", re.M)
WORKERS = "workers"
FLAT_SHARE, FLAT_MB = 1.10, 32
"""Flat is a mean over the last third of at most this share of the second's, plus so many MB: a heap that has a limit
is touched bit by bit."""


class Sampler:
    """Takes samples of the stack in `settings.data_dir` and of the processes named in `others`."""

    def __init__(self, settings: Settings, others: Mapping[str, int] | None = None) -> None:
        self.settings = settings
        self.others = dict(others or {})
        self.cluster = Cluster(settings)
        self.begun = time.monotonic()
        self.samples: list[Sample] = []

    def take(self) -> Sample:
        """One more sample; blocks about a second on a busy machine."""
        sample = {"seconds": time.monotonic() - self.begun}
        sample |= {f"memory.{name}": mb for name, mb in memory(self.settings.data_dir, self.others).items()}
        sample |= {"heap.taskmanager": heap} if (heap := taskmanager_heap(self.settings)) else {}
        sample |= progress(self.cluster)
        self.samples.append(sample)
        return sample

    def follow(self, seconds: float, every_s: float = 5.0) -> None:
        """Take samples for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            begun = time.monotonic()
            self.take()
            time.sleep(max(0.0, min(every_s - (time.monotonic() - begun), left)))


def memory(data_dir: Path, others: Mapping[str, int]) -> dict[str, float]:
    """Resident MB by part of the stack, and of the processes in `others`."""
    found: Counter[str] = Counter()
    for part in parts.ALL:
        for one in process.marked(data_dir, part):
            try:
                name = WORKERS if part == parts.TASKMANAGER and one.name() != "java" else part
                found[name] += one.memory_info().rss / MB
            except psutil.NoSuchProcess:
                continue
    return {**found, **{name: psutil.Process(pid).memory_info().rss / MB for name, pid in others.items()}}


def taskmanager_heap(settings: Settings) -> float | None:
    """MB of heap in use; None while the TaskManager does not answer."""
    try:
        url = f"http://{HOST}:{settings.local.ports.taskmanager_metrics}/metrics"
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = HEAP.search(answer.read().decode())
    except OSError:
        return None
    return float(found[1]) / MB if found else None


def progress(cluster: Cluster) -> Sample:
    """Ends of the topics, and what each reader has still to read."""
    ends = {name: cluster.end_offsets(name) for name in (RAW, CLEAN, BLOCKS)}
    planned, trained = runs.last_planned(cluster), status.last_trained(cluster, cluster.settings.trainer.run)
    behind = {job.name: status.lag(cluster, cluster.committed(job.name, job.input), job.input) for job in JOBS}
    behind["planner"] = status.lag(cluster, planned.next if planned else {}, BLOCKS)
    return {
        **{f"end.{name}": float(sum(end.values())) for name, end in ends.items()},
        **{f"lag.{name}": float(lag) for name, lag in behind.items()},
        "lag.trainer": float((planned.step if planned else -1) - (trained.step if trained else -1)),
    }


def write(path: Path, samples: Sequence[Sample]) -> None:
    """One row a sample."""
    columns = list(dict.fromkeys(name for sample in samples for name in sample))
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, columns)
        rows.writeheader()
        rows.writerows({name: round(value, 1) for name, value in sample.items()} for sample in samples)


def read(path: Path) -> list[Sample]:
    """What `write` wrote."""
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def thirds(samples: Sequence[Sample], name: str) -> tuple[float, float, float]:
    """The mean of a column in each third of the time."""
    length = samples[-1]["seconds"] - samples[0]["seconds"]
    parts_of_time: list[list[float]] = [[], [], []]
    for sample in samples:
        if name in sample:
            third = min(2, int(3 * (sample["seconds"] - samples[0]["seconds"]) / length))
            parts_of_time[third].append(sample[name])
    first, second, last = (sum(values) / len(values) for values in parts_of_time)
    return first, second, last


def grown(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """The processes that are not flat, with their mean memory in the second and in the last third of the time."""
    names = [name for name in samples[-1] if name.startswith("memory.")]
    means = {name: thirds(samples, name)[1:] for name in names}
    return {name: (second, last) for name, (second, last) in means.items() if last > FLAT_SHARE * second + FLAT_MB}


def table(samples: Sequence[Sample]) -> str:
    """Markdown: each column's mean by third of the time, and its maximum."""
    names = [name for name in samples[-1] if name != "seconds"]
    lines = ["| | first third | second | last | most |", "|---|---|---|---|---|"]
    for name in names:
        most = max(sample[name] for sample in samples if name in sample)
        means = " | ".join(f"{mean:,.0f}" for mean in thirds(samples, name))
        lines.append(f"| {name} | {means} | {most:,.0f} |")
    return "\n".join(lines)
