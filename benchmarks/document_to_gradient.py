"""How old is a document when it is in the weights? Median and p99, beside what windows and checkpoints alone cost.

    python -m benchmarks.document_to_gradient [--rate 8] [--seconds 120]

A whole stack with default settings. Each document's age is the time of the step that trained its last token, as the
trainer reports it, minus the timestamp of its record in `text.raw`. The floor: a document waits for a checkpoint of
the clean job, the end of its window, and a checkpoint of the tokenize job, each at a moment of its own.
"""

from __future__ import annotations

import argparse
import sys
import time
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from benchmarks.local import stack
from benchmarks.results import tell
from benchmarks.texts import texts
from headrace.cli.watch import Watch
from headrace.client import Publisher
from headrace.contract.blocks import Block
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings
from headrace.contract.topics import BLOCKS, PLAN, RAW, STEPS
from headrace.contract.training import StepReport, decode_report
from headrace.kafka import Cluster, coordinate
from headrace.local.stack import Stack

WARM_UP_S = 20.0
"""Documents of the first seconds do not count: workers and ranks are still warming up."""
DRAIN_S = 300.0
Ages = NDArray[np.float64]


def publish(own: Stack, rate: float, seconds: float) -> None:
    """Publish at a steady pace, then block until all of it is trained."""
    begun, sent = time.monotonic(), 0
    count = int(rate * seconds)
    with Watch(own.settings) as watch, Publisher(own.settings) as publisher:
        for sent, text in enumerate(islice(texts(own.settings), count)):
            time.sleep(max(0.0, begun + sent / rate - time.monotonic()))
            publisher.publish(text, source="bench")
        publisher.flush()

        def trained() -> bool:
            watch.poll(0.2)
            return watch.seen.all_trained(count)

        own.wait_until(trained, DRAIN_S, "all documents are trained")


def ages(settings: Settings) -> Ages:
    """Seconds from publishing to the step that trained the last token, of each document after the warm-up."""
    cluster = Cluster(settings)
    published = {
        (at.partition, at.offset): message.timestamp()[1]
        for message in cluster.read_all(RAW, {}, cluster.end_offsets(RAW))
        if (at := coordinate(message))
    }
    counted_from = min(published.values()) + 1000 * WARM_UP_S
    step_of = steps_of_blocks(cluster)
    said = step_times(cluster)
    trained: dict[tuple[int, int], int] = {}
    for message in cluster.read_all(BLOCKS, {}, cluster.end_offsets(BLOCKS)):
        at = coordinate(message)
        for partition, offset in Block.decode(message.value(), at).doc_raw.tolist():
            moment = said[step_of[at.partition, at.offset]]
            trained[partition, offset] = max(moment, trained.get((partition, offset), 0))
    found = [(moment - published[raw]) / 1000 for raw, moment in trained.items() if published[raw] >= counted_from]
    return np.array(found)


def steps_of_blocks(cluster: Cluster) -> dict[tuple[int, int], int]:
    """The step of every offset that the plan names."""
    records = [decode_plan(m.value(), coordinate(m)) for m in cluster.read_all(PLAN, {}, cluster.end_offsets(PLAN))]
    return {
        (run.partition, offset): step.step
        for step in records
        if isinstance(step, Step)
        for run in step.blocks
        for offset in range(run.first, run.last + 1)
    }


def step_times(cluster: Cluster) -> dict[int, int]:
    """When each step was applied, epoch milliseconds."""
    records = (decode_report(m.value(), coordinate(m)) for m in cluster.read_all(STEPS, {}, cluster.end_offsets(STEPS)))
    return {report.step: report.time for report in records if isinstance(report, StepReport)}


def floor(settings: Settings) -> Ages:
    """A large sample of what a document waits when nothing takes any time of its own."""
    checkpoint_s, window_s = settings.flink.checkpoint_interval_ms / 1000, settings.tokenize.window_s
    dice = np.random.default_rng(1)
    return sum((dice.uniform(0, wait, 1_000_000) for wait in (checkpoint_s, window_s, checkpoint_s)), np.zeros(1))


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rate", type=float, default=8.0, help="documents a second, of some 130 tokens each")
    arguments.add_argument("--seconds", type=float, default=120.0)
    given = arguments.parse_args()
    with stack() as own:
        publish(own, given.rate, given.seconds)
        found, least = ages(own.settings), floor(own.settings)
    print(f"{len(found)} documents at {given.rate:g} a second, age at the gradient in seconds")
    for name, values in (("measured", found), ("floor", least)):
        median, p99 = np.percentile(values, (50, 99))
        print(f"{name:<9} median {median:.2f}  p99 {p99:.2f}  most {values.max():.2f}")
    return 0 if tell("document_to_gradient", float(np.median(least) / np.median(found))) else 1


if __name__ == "__main__":
    sys.exit(main())
