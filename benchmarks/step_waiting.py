"""How much of its steps does a trainer wait for data, when there is plenty?

    python -m benchmarks.step_waiting [--steps N]

A real fleet of one rank trains a plan that was written before it started. Its own reports in `train.steps` say how long
each part of a step took; `wait` is what passed between the end of a step and having the next one with all its blocks.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter

from benchmarks.local import stack
from benchmarks.results import machine, tell
from benchmarks.trainers import fill
from headrace.contract.settings import ROOT, Settings
from headrace.contract.topics import STEPS
from headrace.contract.training import StepReport, decode_report
from headrace.kafka import Cluster, coordinate

WARM_STEPS = 10
"""The first step waits for the first fetch, and more than the reader holds ready is used up by then."""
TIMEOUT_S = 1800


def reports(settings: Settings) -> list[StepReport]:
    """The steps that were reported so far."""
    cluster = Cluster(settings)
    found = (
        decode_report(message.value(), coordinate(message))
        for message in cluster.read_all(STEPS, {}, cluster.end_offsets(STEPS))
    )
    return [report for report in found if isinstance(report, StepReport)]


def train(settings: Settings, steps: int) -> list[StepReport]:
    """Let a fleet train until it has reported so many steps, then stop it."""
    environment = {**os.environ, "HEADRACE_CONFIG": os.devnull, **settings.environment()}
    fleet = subprocess.Popen(
        [sys.executable, "-m", "trainer.fleet"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while len(found := reports(settings)) < steps:
            assert fleet.poll() is None, f"the fleet ended with {fleet.poll()}"
            assert time.monotonic() < deadline, f"{len(found)} steps within {TIMEOUT_S} s"
            time.sleep(1)
        return found[:steps]
    finally:
        fleet.terminate()
        fleet.wait(60)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=150, help="measured steps, behind the warm-up")
    steps = WARM_STEPS + arguments.parse_args().steps
    print(machine())
    with stack(("broker",), "trainer.ranks=1", "local.ports.trainer_metrics=0") as own:
        fill(own.settings, steps + 20)
        measured = train(own.settings, steps)[WARM_STEPS:]
    seconds: Counter[str] = Counter()
    for report in measured:
        seconds.update(report.seconds)
    whole = sum(seconds.values())
    parts = ", ".join(f"{part} {1000 * value / len(measured):.2f} ms" for part, value in seconds.most_common())
    print(f"{len(measured)} steps of {measured[0].tokens} tokens in {whole:.1f} s: {parts}")
    return 0 if tell("step_waiting", 1 - seconds["wait"] / whole) else 1


if __name__ == "__main__":
    sys.exit(main())
