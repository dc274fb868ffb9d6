"""How long does a checkpoint keep the training loop? Written by a thread, against written before training goes on.

    python -m benchmarks.checkpoint_async

The real loop trains synthetic blocks out of memory and saves every few steps, in turn in one way and the other, on the
disk of the temporary directory. The loop's own seconds for `checkpoint` are compared; beside them stands what a step
takes in all, since a thread that writes needs a core as well.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch.distributed as dist

from benchmarks.results import machine, tell
from benchmarks.trainers import Listener, Nobody, Planned, planned, work, write_model
from headrace.contract.settings import Settings, load
from trainer.checkpoint import Checkpoints
from trainer.fingerprint import make_deterministic
from trainer.group import Group, choose_device, join, place_from
from trainer.loop import Run, train
from trainer.report import Stopwatch
from trainer.saver import Saver
from trainer.schedule import Schedule
from trainer.start import Source, begin, resume

ROUNDS = 3
SAVES = 6
"""Checkpoints a round."""
STEPS_A_SAVE = 4
HIDDEN = (128, 512)
"""Hidden sizes; the first is that of the shipped model `small`."""


@dataclass
class Blocked:
    """Seconds, by checkpoint and by step."""

    saves: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)


def settings_of(folder: Path, model: Path) -> Settings:
    """A run of `model` in a folder of its own; small steps, so that many saves fit in little time."""
    values = {"model": model, "checkpoint_steps": STEPS_A_SAVE, "checkpoint_s": 0, "leaf_blocks": 2, "run": model.name}
    return load(
        environment={},
        assignments=[f"local.data_dir={folder}", *(f"trainer.{name}={value}" for name, value in values.items())],
    ).settings


def one_round(settings: Settings, group: Group, steps: Sequence[Planned], background: bool, into: Blocked) -> None:
    """Go on from the newest checkpoint for SAVES saves."""
    checkpoints = Checkpoints.of(settings)
    checkpoints.history.mkdir(parents=True, exist_ok=True)
    attempt = begin(settings, checkpoints, Source("", {}), group.device, time.time)
    identity, last, state = resume(settings, group, checkpoints, attempt)
    saver = Saver(checkpoints, identity, settings.tokenizer_file, time.time, last, background)
    listener = Listener()
    schedule, watch = Schedule(0, time.monotonic), Stopwatch(time.monotonic)
    run = Run(settings, group, saver, schedule, listener, Nobody(), watch, time.time)  # type: ignore[arg-type]
    train(run, state, work(steps[state.step : state.step + SAVES * STEPS_A_SAVE + 1]))
    saver.save(state)
    saver.thread.shutdown()
    # a report's `checkpoint` is the save behind the step before, and what the update waited for; the first save of an
    # attempt makes room for the copy, and is left out
    kept = [report.seconds["checkpoint"] for report in listener.reports][1 + STEPS_A_SAVE :]
    into.saves += [sum(kept[at : at + STEPS_A_SAVE]) for at in range(0, len(kept), STEPS_A_SAVE)]
    into.steps += [after.time / 1000 - before.time / 1000 for before, after in pairwise(listener.reports)]


def compare(folder: Path, group: Group, hidden: int) -> float:
    """1 - blocking time in the background / before going on, for a model of this width."""
    settings = settings_of(folder, write_model(folder, hidden))
    steps = planned(settings, 2 * ROUNDS * (SAVES + 1) * (STEPS_A_SAVE + 1), blocks=2)
    found = {True: Blocked(), False: Blocked()}
    for _ in range(ROUNDS):
        for background, into in found.items():
            one_round(settings, group, steps, background, into)
    last = Checkpoints.of(settings).newest()
    assert last is not None
    thread, loop = (statistics.fmean(found[background].saves) for background in (True, False))
    print(f"\nhidden {hidden}: a checkpoint of {last.bytes / 1e6:.1f} MB keeps the loop {1000 * thread:.1f} ms"
          f" (median {1000 * statistics.median(found[True].saves):.1f}, most {1000 * max(found[True].saves):.1f})"
          f" when a thread writes it, {1000 * loop:.1f} ms (median {1000 * statistics.median(found[False].saves):.1f})"
          f" when the loop does; {len(found[True].saves)} and {len(found[False].saves)} saves")  # fmt: skip
    a, b = (1000 * statistics.fmean(found[background].steps) for background in (True, False))
    print(f"a step with its share of saving, one in {STEPS_A_SAVE}: {a:.1f} ms and {b:.1f} ms")
    return 1 - thread / loop


def main() -> int:
    print(machine())
    make_deterministic(threads=1)
    group = join(place_from({}), choose_device("cpu", 0, 1), 90)
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        ratios = [compare(Path(folder), group, hidden) for hidden in HIDDEN]
    dist.destroy_process_group()
    return 0 if tell("checkpoint_async", min(ratios)) else 1


if __name__ == "__main__":
    sys.exit(main())
