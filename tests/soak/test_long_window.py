"""The longest window at full speed in the smallest heap that the settings allow: it is paced, so it fits.

Without its pace the tokenize job gathers in 60 s what the heap cannot hold while it is packed. The TaskManager ends,
and again each time it comes back, since the window lies whole in the checkpoint.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from unittest.mock import patch

import pytest
from confluent_kafka import Producer

from flink_jobs.text.pace import window_bytes
from headrace.contract.blocks import Seal
from headrace.contract.documents import CleanDocument
from headrace.contract.settings import Ports, Settings, load
from headrace.contract.topics import CLEAN, WINDOWS
from headrace.jobs import TOKENIZE, Program, commit_beginning
from headrace.kafka import Cluster, coordinate, producer_config
from headrace.local import parts
from headrace.local.flink import environment
from headrace.local.stack import Stack

WINDOW_S, MEMORY_MB = 60, 1024
WINDOWS_SEEN = 3
DENSE = 20_000
"""Characters of a document; of random letters and digits, so that nearly each one is a token."""
ENOUGH = 300_000_000
"""Characters of all documents together: more than the job can take in that time."""
ZEROS = [f"local.ports.{name}=0" for name in Ports.model_fields]


@pytest.mark.timeout(1200)
def test_the_longest_window_fits_in_the_smallest_heap(jars_there: None, tmp_path: Path) -> None:
    values = [f"tokenize.window_s={WINDOW_S}", f"flink.taskmanager_memory_mb={MEMORY_MB}", f"local.data_dir={tmp_path}"]
    settings = load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=[*ZEROS, *values]).settings
    with Stack(settings, (parts.BROKER, parts.JOBMANAGER, parts.TASKMANAGER)) as stack:
        stack.wait_running(300)
        cluster, before = Cluster(stack.settings), restarts(stack)
        commit_beginning(cluster, TOKENIZE)
        write_clean(stack.settings)
        submit(stack.settings)
        stack.wait_until(lambda: len(sealed(cluster)) >= WINDOWS_SEEN, 600, f"{WINDOWS_SEEN} windows are sealed")
        found, after = sealed(cluster), restarts(stack)
    assert after == before
    most = max(found.values())
    print(f"tokens by window: {sorted(found.values())}")
    limit = window_bytes(MEMORY_MB)
    assert 2 * most < limit * (1 + 1 / WINDOW_S) + settings.flink.parallelism * 2 * DENSE
    assert 2 * most > limit / 2, "and it was full speed that filled it"


def restarts(stack: Stack) -> dict[str, int]:
    """How often each part was started again."""
    return {part.name: part.restarts for part in stack.state().parts}


def write_clean(settings: Settings) -> None:
    """A backlog in `text.clean`."""
    producer = Producer(producer_config(settings.kafka.brokers))
    topic, written = settings.topic(CLEAN), 0
    for number, text in enumerate(dense()):
        document = CleanDocument(
            raw=(number % 4, number), id=None, source="soak", time=0, language=None, text=text, label=None
        )
        producer.produce(topic, document.encode(), partition=number % 4)
        written += len(text)
        while len(producer) > 500:
            producer.poll(0.1)
        if written > ENOUGH:
            break
    assert producer.flush(60) == 0


def dense() -> Iterator[str]:
    """Documents without end, no two alike."""
    dice = random.Random(1)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=6)) for _ in range(20_000)]
    bodies = [" ".join(dice.choices(words, k=DENSE // 7)) for _ in range(50)]
    return (f"{number} {bodies[number % len(bodies)]}" for number in count())


def submit(settings: Settings) -> None:
    """The tokenize job alone."""
    with patch.dict(os.environ, environment(settings)), Program(settings) as program:
        program.ask(TOKENIZE)


def sealed(cluster: Cluster) -> Counter[int]:
    """Tokens by start of window, of windows that every shard has sealed by now."""
    tokens: Counter[int] = Counter()
    shards: Counter[int] = Counter()
    for message in cluster.read_all(WINDOWS, {}, cluster.end_offsets(WINDOWS)):
        seal = Seal.decode(message.value(), coordinate(message))
        tokens[seal.start] += seal.tokens
        shards[seal.start] += 1
    return Counter({start: tokens[start] for start in tokens if shards[start] == cluster.settings.tokenize.shards})
