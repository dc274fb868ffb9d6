"""How fast does `Publisher.publish` write, against bare `produce()` of the same bytes to the same broker?

    python -m benchmarks.publish_vs_produce [--documents N] [--rounds N]

One real broker; every round sends the same texts in each way, in turns that begin elsewhere each time. The ratio is the
median of the rounds' ratios. The peer sends values and headers that were encoded beforehand, with the same settings of
the client (idempotent, all replicas, zstd, size of the queue), calls poll(0) after each, and flushes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import orjson
from confluent_kafka import Producer

from benchmarks.local import stack
from benchmarks.results import machine, tell
from benchmarks.texts import texts
from headrace.client import QUEUE, Publisher
from headrace.contract.settings import Settings
from headrace.contract.topics import RAW
from headrace.kafka import brokers_of, producer_config

HEADERS: Mapping[str, str | bytes] = {"content-type": "text/plain", "source": "bench"}


def bare(settings: Settings, documents: Sequence[str]) -> float:
    """Seconds that produce() takes for values that are bytes already."""
    values, topic = [text.encode() for text in documents], settings.topic(RAW)
    producer = Producer(producer_config(brokers_of(settings), **QUEUE))
    producer.produce(topic, values[0], headers=HEADERS)  # connected, and with an id of its own, before the clock runs
    assert producer.flush(60) == 0
    begun = time.perf_counter()
    for value in values:
        while True:
            try:
                producer.produce(topic, value, headers=HEADERS)
                break
            except BufferError:
                producer.poll(0.005)
        producer.poll(0)
    assert producer.flush(60) == 0
    return time.perf_counter() - begun


def published(settings: Settings, documents: Sequence[str]) -> float:
    """Seconds that the Publisher takes, with the wait for the last confirmation."""
    with Publisher(settings) as publisher:
        publisher.publish(documents[0], source="bench")
        publisher.flush()
        begun = time.perf_counter()
        for text in documents:
            publisher.publish(text, source="bench")
        publisher.flush()
        return time.perf_counter() - begun


def commanded(settings: Settings, documents: Sequence[str]) -> float:
    """Seconds that `headrace publish FILE` says it took: read, check, send, commit; without the start of Python."""
    environment = {**os.environ, "HEADRACE_CONFIG": os.devnull, **settings.environment()}
    with tempfile.NamedTemporaryFile("wb", suffix=".jsonl") as file:
        file.writelines(orjson.dumps({"text": text}, option=orjson.OPT_APPEND_NEWLINE) for text in documents)
        file.flush()
        command = [sys.executable, "-m", "headrace.cli.main", "publish", file.name, "--again", "--source", "bench"]
        done = subprocess.run([*command, "--json"], env=environment, stdout=subprocess.PIPE, check=True)
    said = orjson.loads(done.stdout)
    assert said["published"] == len(documents)
    return float(said["seconds"])


WAYS: Mapping[str, Callable[[Settings, Sequence[str]], float]] = {
    "produce()": bare,
    "Publisher.publish": published,
    "headrace publish FILE": commanded,
}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--documents", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=7)
    asked = arguments.parse_args()
    with stack(["broker"]) as running:
        settings = running.settings
        documents = list(islice(texts(settings), asked.documents))
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        order = list(WAYS)
        for _ in range(asked.rounds):
            for way in order:
                seconds[way].append(WAYS[way](settings, documents))
            order = order[1:] + order[:1]
    size = sum(len(text.encode()) for text in documents) / len(documents)
    print(f"{machine()}\n{len(documents):,} documents of {size:.0f} bytes, {asked.rounds} rounds, one broker beside it")
    ratios = {way: statistics.median(map(float.__truediv__, seconds["produce()"], seconds[way])) for way in WAYS}
    for way, ratio in ratios.items():
        rates = sorted(len(documents) / second for second in seconds[way])
        print(f"{way:22} {statistics.median(rates):9,.0f}/s ({rates[0]:,.0f} to {rates[-1]:,.0f}), ratio {ratio:.3f}")
    reached = tell("publish_vs_produce", ratios["Publisher.publish"])
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
