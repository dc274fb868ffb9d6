"""What does it cost that the weights are the same bits at any number of ranks? Canonical against plain reduction.

    python -m benchmarks.canonical_vs_plain [--rounds 8] [--steps 4] [--device cpu|cuda|cuda_shared]

Ranks of a real gloo group on this machine train synthetic blocks out of memory with the real loop, some steps with one
reduction and some with the other in turn, each with weights of its own. A step has 4,096 tokens. The ratio is the time
of a plain step over that of a canonical one; the goal is for 2 ranks and the shipped model `small`. With `cuda`
one rank has the GPU, with `cuda_shared` all share it and talk over gloo: neither says what NCCL costs between GPUs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import torch.distributed as dist

from benchmarks.results import machine, tell
from benchmarks.trainers import Planned, open_run, planned, write_model
from headrace.contract.digests import block_digest
from headrace.contract.settings import Settings, load
from trainer.assemble import Share, Work
from trainer.board import Board
from trainer.fingerprint import make_deterministic
from trainer.group import Group, Place, choose_device, join
from trainer.loop import train

STEP_TOKENS = 4096
REDUCTIONS = ("canonical", "plain")
WARM_STEPS = 2


class Case(NamedTuple):
    """A width of the model `small`, whose own is 128, and a number of ranks."""

    hidden: int
    ranks: int


CASES = {
    "cpu": (Case(128, 2), Case(256, 2), Case(128, 3)),
    "cuda": (Case(128, 1), Case(1024, 1), Case(2048, 1)),
    "cuda_shared": (Case(128, 2), Case(1024, 2)),
}
"""By device. The goal is for the first."""


class Timed(NamedTuple):
    """Seconds of a step, of its reduction alone, and of CPU that it took, by round, on rank 0."""

    step: list[float]
    reduce: list[float]
    cpu: list[float]


def settings_of(folder: Path, model: Path, reduction: str) -> Settings:
    """A run of its own for each reduction."""
    values = {
        "model": model,
        "reduction": reduction,
        "run": reduction,
        "checkpoint_steps": 1_000_000,
        "checkpoint_s": 0,
    }
    return load(
        environment={"HEADRACE_CONFIG": os.devnull},
        assignments=[f"local.data_dir={folder}", *(f"trainer.{name}={value}" for name, value in values.items())],
    ).settings


def my_work(steps: Iterable[Planned], group: Group, leaf_blocks: int) -> Iterator[Work]:
    share = Share(group.rank, group.size, leaf_blocks)
    for step, blocks in steps:
        yield Work(step, block_digest(step.encode()), tuple(blocks[at] for at in share.of(step.block_count)))


def rank(
    number: int,
    ranks: int,
    meeting: str,
    device: str,
    settings: Sequence[Settings],
    steps: Sequence[Planned],
    rounds: int,
    each: int,
    answer: Connection,
) -> None:
    """One rank; rank 0 answers what it measured by reduction."""
    make_deterministic(threads=1)
    place = Place(number, ranks, number, ranks, meeting, 0, Board(ranks))
    group = join(place, choose_device(device, number, ranks), 90, shared=device == "cuda_shared")
    runs = {one.trainer.reduction: open_run(one, group) for one in settings}
    found = {reduction: Timed([], [], []) for reduction in runs}
    for turn in range(-1, rounds):
        order = list(runs.items())
        for reduction, (run, state) in order if turn % 2 else reversed(order):
            count = WARM_STEPS if turn < 0 else each
            dist.barrier(group=group.control)
            began, used = time.monotonic(), time.process_time()
            train(run, state, my_work(steps[state.step : state.step + count], group, run.settings.trainer.leaf_blocks))
            if turn >= 0:
                reports = run.reporter.reports[-count:]  # type: ignore[attr-defined]
                found[reduction].step.append((time.monotonic() - began) / count)
                found[reduction].cpu.append((time.process_time() - used) / count)
                found[reduction].reduce.append(statistics.fmean(report.seconds["reduce"] for report in reports))
    if group.leads:
        answer.send(found)
    dist.destroy_process_group()


def compare(folder: Path, case: Case, device: str, rounds: int, each: int) -> float:
    """The ratio of one case; prints what it is made of."""
    model = write_model(folder, case.hidden)
    settings = [settings_of(folder, model, reduction) for reduction in REDUCTIONS]
    blocks = STEP_TOKENS // settings[0].tokenize.block_tokens
    steps = planned(settings[0], WARM_STEPS + rounds * each, blocks)
    context = multiprocessing.get_context("spawn")
    hear, answer = context.Pipe(duplex=False)
    meet = f"file://{folder}/meeting"
    ranks = [
        context.Process(target=rank, args=(number, case.ranks, meet, device, settings, steps, rounds, each, answer))
        for number in range(case.ranks)
    ]
    for process in ranks:
        process.start()
    answer.close()
    found: dict[str, Timed] = hear.recv()
    for process in ranks:
        process.join()
    ratios = [plain / canonical for plain, canonical in zip(found["plain"].step, found["canonical"].step, strict=True)]
    print(
        f"\nhidden {case.hidden}, {case.ranks} ranks, {blocks} blocks a step, {settings[0].trainer.leaf_blocks} a leaf"
    )
    for reduction, timed in found.items():
        step, reduce, cpu = (1000 * statistics.median(seconds) for seconds in timed)
        print(f"  {reduction:10} {step:7.1f} ms a step, {reduce:6.1f} to reduce, {cpu:7.1f} of CPU (medians, rank 0)")
    print(f"  ratios {min(ratios):.3f} to {max(ratios):.3f}, median {statistics.median(ratios):.3f}", flush=True)
    return statistics.median(ratios)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=8)
    arguments.add_argument("--steps", type=int, default=4, help="steps of each reduction in a round")
    arguments.add_argument("--device", choices=CASES, default="cpu")
    said = arguments.parse_args()
    print(machine())
    ratios = []
    for case in CASES[said.device]:
        with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
            ratios.append(compare(Path(folder), case, said.device, said.rounds, said.steps))
    if said.device != "cpu":
        return 0  # the goal is for the CPU
    return 0 if tell("canonical_vs_plain", ratios[0]) else 1


if __name__ == "__main__":
    sys.exit(main())
