"""What does the stream cost the trainer? Steps out of Kafka, against the same steps out of memory.

    python -m benchmarks.trainer_from_stream [--rounds N] [--steps N]

One rank trains the same steps from the same first weights, in turn in one way and the other. From the stream: plan and
blocks out of a real broker, by the trainer's own reader thread; reports, commands and metrics as ever. Out of memory:
the same records in a list, and nothing of Kafka. Both go through `trainer.loop`, so both decode, hash and prove.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.local import stack
from benchmarks.results import machine, tell
from benchmarks.trainers import Listener, Nobody, Planned, fill, work
from headrace.contract.settings import Settings
from headrace.contract.training import StepReport
from headrace.kafka import Cluster
from trainer.__main__ import assembler
from trainer.assemble import Work
from trainer.checkpoint import Checkpoints
from trainer.control import Commands, Control
from trainer.fingerprint import make_deterministic
from trainer.group import Group, join, place_from
from trainer.loop import Run, train
from trainer.report import Metrics, Reporter, Stopwatch, make_producer
from trainer.saver import Saver
from trainer.schedule import Schedule
from trainer.start import Source, begin, resume
from trainer.state import State
from trainer.stream import Stream

WARM_STEPS = 10
"""More than the reader holds ready: what it fetched before the clock began is used up by then."""


class Unsignalled:
    """No signal comes."""

    end = False


@dataclass
class Timed:
    """A reporter that notes when each step was reported."""

    inner: Any
    at: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def step(self, report: StepReport) -> None:
        self.inner.step(report)
        self.at.append(time.monotonic())
        self.tokens.append(report.tokens)

    def idle(self, state: State, save_error: str = "") -> None:
        self.inner.idle(state, save_error)

    def saved(self, outcome: Any) -> None: ...

    def rate(self) -> float:
        """Tokens a second, behind the warm-up."""
        return sum(self.tokens[WARM_STEPS:]) / (self.at[-1] - self.at[WARM_STEPS - 1])


@dataclass
class Bench:
    """What both ways share."""

    settings: Settings
    group: Group
    metrics: Metrics

    def train(self, steps: Sequence[Planned], from_stream: bool) -> float:
        """Tokens a second over these steps, which are the first of the plan."""
        settings, group = self.settings, self.group
        cluster, checkpoints = Cluster(settings), Checkpoints.of(settings)
        checkpoints.history.mkdir(parents=True, exist_ok=True)
        source = Source(cluster.id(), cluster.topic_ids())
        attempt = begin(settings, checkpoints, source, group.device, time.time)
        identity, first, state = resume(settings, group, checkpoints, attempt)
        assert state.step == 0, "nothing was saved since"
        saver = Saver(checkpoints, identity, settings.tokenizer_file, time.time, first)
        schedule, watch = Schedule(0, time.monotonic), Stopwatch(time.monotonic)
        if not from_stream:
            memory = Timed(Listener())
            run = Run(settings, group, saver, schedule, memory, Nobody(), watch, time.time)  # type: ignore[arg-type]
            train(run, state, list(work(steps)))
            return memory.rate()
        reporter = Reporter(settings, identity, self.metrics, make_producer(settings), time.time)
        timed, signals = Timed(reporter), Unsignalled()
        with closing(Control(group, signals, Commands(settings))) as control:  # type: ignore[arg-type]
            run = Run(settings, group, saver, schedule, timed, control, watch, time.time)  # type: ignore[arg-type]
            with closing(Stream(settings, assembler(settings, group, identity, state))) as stream:
                train(run, state, until(stream, len(steps)))
        reporter.flush()
        return timed.rate()


def until(stream: Iterable[Work | None], steps: int) -> Iterator[Work | None]:
    """The stream up to its first `steps` steps."""
    for taken in stream:
        yield taken
        if taken is not None and taken.step.step == steps - 1:
            return


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=10)
    arguments.add_argument("--steps", type=int, default=25, help="measured steps of each round, behind the warm-up")
    said = arguments.parse_args()
    print(machine())
    make_deterministic(threads=1)
    found: dict[bool, list[float]] = {True: [], False: []}
    with stack(("broker",), "trainer.checkpoint_steps=1000000", "trainer.checkpoint_s=0") as own:
        steps = fill(own.settings, WARM_STEPS + said.steps + 20)
        group = join(place_from({}), torch.device("cpu"), 90)
        bench = Bench(own.settings, group, Metrics("bench"))
        for number in range(said.rounds):
            for from_stream in (True, False) if number % 2 else (False, True):
                found[from_stream].append(bench.train(steps[: WARM_STEPS + said.steps], from_stream))
            print(f"round {number}: {found[True][-1]:.0f} tokens/s from the stream, {found[False][-1]:.0f} from memory")
        dist.destroy_process_group()
    ratios = [stream / memory for stream, memory in zip(found[True], found[False], strict=True)]
    stream, memory = statistics.median(found[True]), statistics.median(found[False])
    print(
        f"medians: {stream:.0f} tokens/s from the stream, {memory:.0f} from memory; ratios {min(ratios):.3f} to ",
        end="",
    )
    print(f"{max(ratios):.3f}; model small, one rank, one thread, steps of {steps[0][0].tokens} tokens")
    return 0 if tell("trainer_from_stream", statistics.median(ratios)) else 1


if __name__ == "__main__":
    sys.exit(main())
