"""What do metrics cost a step? The time that they take in the loop and in being asked for, over the steps' time.

    python -m benchmarks.metrics_overhead [--steps N]

The real loop trains synthetic blocks out of memory on one rank with the smallest model that is shipped, whose steps are
the shortest that there are. What each step spends on its metrics is taken out of the loop by a clock; what answering
Prometheus takes, every five seconds as deploy/prometheus says, is added as if the loop stood still meanwhile.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch.distributed as dist

from benchmarks.results import machine, tell
from benchmarks.trainers import Nobody, planned, work
from headrace.contract.settings import Settings, load
from headrace.contract.training import StepReport
from headrace.observe import Pulse, serve_metrics
from trainer.checkpoint import Checkpoints
from trainer.fingerprint import make_deterministic
from trainer.group import Group, choose_device, join, place_from
from trainer.loop import Run, train
from trainer.report import Metrics, Stopwatch
from trainer.saver import Saver
from trainer.schedule import Schedule
from trainer.start import Source, begin, resume

SCRAPE_S = 5.0
SCRAPES = 50
WARM_STEPS = 10


@dataclass
class Metered:
    """A reporter that sets the metrics, and notes when it began and how long it took."""

    metrics: Metrics
    at: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)

    def step(self, report: StepReport) -> None:
        begun = time.perf_counter()
        self.metrics.step(report)
        self.at.append(begun)
        self.took.append(time.perf_counter() - begun)

    def saved(self, outcome: Any) -> None: ...


def train_metered(settings: Settings, group: Group, steps: int) -> Metered:
    """Train so many steps out of memory."""
    checkpoints = Checkpoints.of(settings)
    checkpoints.history.mkdir(parents=True, exist_ok=True)
    attempt = begin(settings, checkpoints, Source("", {}), group.device, time.time)
    identity, last, state = resume(settings, group, checkpoints, attempt)
    saver = Saver(checkpoints, identity, settings.tokenizer_file, time.time, last)
    metered, watch = Metered(Metrics("bench")), Stopwatch(time.monotonic, group.board, 0)
    run = Run(settings, group, saver, Schedule(0, time.monotonic), metered, Nobody(), watch, time.time)  # type: ignore[arg-type]
    train(run, state, work(planned(settings, steps, settings.planner.step_blocks)))
    return metered


def scrape_s() -> float:
    """Seconds that one answer to Prometheus takes."""
    port = serve_metrics(0, "127.0.0.1", Pulse(60))
    took = []
    for _ in range(SCRAPES):
        begun = time.perf_counter()
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read()
        took.append(time.perf_counter() - begun)
    return statistics.median(took)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--steps", type=int, default=200, help="measured steps, behind the warm-up")
    steps = WARM_STEPS + arguments.parse_args().steps
    print(machine())
    make_deterministic(threads=1)
    group = join(place_from({}), choose_device("cpu", 0, 1), 90)
    said = ["trainer.model=tiny", "trainer.checkpoint_steps=1000000", "trainer.checkpoint_s=0"]
    said += [f"tokenizer.path={Path('flink_jobs/tokenizer/tiny')}", "tokenize.block_tokens=64"]
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        settings = load(environment={}, assignments=[*said, f"local.data_dir={folder}"]).settings
        metered = train_metered(settings, group, steps)
    dist.destroy_process_group()
    step_s = (metered.at[-1] - metered.at[WARM_STEPS]) / (len(metered.at) - 1 - WARM_STEPS)
    metrics_s, asked_s = statistics.fmean(metered.took[WARM_STEPS:]), scrape_s()
    print(
        f"a step of {settings.nominal_tokens} tokens of the model `tiny`: {1000 * step_s:.2f} ms, of which metrics"
        f" {1e6 * metrics_s:.0f} us; an answer to Prometheus {1000 * asked_s:.2f} ms every {SCRAPE_S:.0f} s"
    )
    return 0 if tell("metrics_overhead", metrics_s / step_s + asked_s / SCRAPE_S) else 1


if __name__ == "__main__":
    sys.exit(main())
