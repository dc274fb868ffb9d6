"""CPU time of the parts of a stack; those of a Java process by what its threads do."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from headrace.local import process

TICKS = os.sysconf("SC_CLK_TCK")
THREADS = (
    ("compiler", r"C[12] Compiler"),
    ("garbage collector", r"G1 |GC |VM "),
    ("bridge to Python", r"grpc-|pool-\d|flink-python|default-executor|DataBuffer|Close"),
    ("Kafka clients", r"kafka-|Source Data Fet|Kafka Fetcher"),
    ("RocksDB and checkpoints", r"rocksdb|AsyncOperations|flink-taskexecu|Flink-RocksDB"),
    ("network of Flink", r"Flink Netty|flink-pekko|flink-metrics|pekko"),
)
"""By the first 15 characters of a thread's name; any other is a task of a job, which is named after its operators."""


def cpu_ms(data_dir: Path, names: Iterable[str]) -> Counter[str]:
    """Milliseconds by part; Java's by thread as well. What ended meanwhile is not counted."""
    used: Counter[str] = Counter()
    for part in names:
        for one in process.marked(data_dir, part):
            for thread in Path(f"/proc/{one.pid}/task").glob("*"):
                try:
                    name, _, rest = (thread / "stat").read_text().partition("(")[2].rpartition(")")
                except OSError:
                    continue
                user, system = rest.split()[11:13]
                used[_what(part, name)] += 1000 * (int(user) + int(system)) // TICKS
    return used


def _what(part: str, thread: str) -> str:
    if part != "taskmanager":
        return part
    return f"{part}: " + next((what for what, names in THREADS if re.match(names, thread)), f"task {thread!r}")
