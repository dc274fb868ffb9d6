"""Did the demo's model learn more than how frequent tokens are? The same run again, with tokens shuffled in each block.

    python -m benchmarks.shuffled_tokens [--data DIR]

Runs `headrace demo --keep` in DIR, takes plan and blocks from its broker, and trains them twice in this process through
`trainer.loop`: as they are, which must repeat the demo's losses to the bit, and with the tokens of each block in random
order. Frequencies are the same in both; what only order can teach is not.
"""

from __future__ import annotations

import argparse
import math
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
import torch.distributed as dist

from benchmarks.results import tell
from headrace.contract.blocks import Block
from headrace.contract.digests import block_digest, run_digest
from headrace.contract.plan import Step, decode_plan
from headrace.contract.settings import Settings, load
from headrace.contract.topics import BLOCKS, PLAN, STEPS
from headrace.contract.training import Manifest, StepReport, decode_report
from headrace.kafka import Cluster, coordinate
from headrace.page.learning import last_tenth_loss, unigram_entropy
from trainer.assemble import Work
from trainer.checkpoint import Checkpoints, Keep
from trainer.fingerprint import make_deterministic
from trainer.group import join, place_from
from trainer.loop import Run, train
from trainer.proof import Fetched
from trainer.report import Stopwatch
from trainer.saver import Saver
from trainer.schedule import Schedule
from trainer.start import Source, begin, resume

Planned = tuple[Step, list[Fetched]]


@dataclass
class Kept:
    """What a finished demo says: its settings, its plan with the blocks, the losses that it reported."""

    settings: Settings
    steps: list[Planned]
    losses: list[float]


@dataclass
class Listener:
    """What the loop reports to, in place of Kafka."""

    reports: list[StepReport] = field(default_factory=list)

    def step(self, report: StepReport) -> None:
        self.reports.append(report)


class Nobody:
    """An operator who asks for nothing."""

    save = stop = stop_idle = False

    def look(self) -> None: ...


@contextmanager
def kept_demo(data: Path) -> Iterator[Kept]:
    """Run the demo, leave it running for the block, and stop it."""
    headrace = [sys.executable, "-m", "headrace.cli.main"]
    try:
        subprocess.run([*headrace, "demo", "--keep", "--data", str(data)], check=True)
        yield read(orjson.loads((data / "result.json").read_bytes()))
    finally:
        subprocess.run([*headrace, "down", "--set", f"local.data_dir={data}"], check=True)


def read(result: dict[str, Any]) -> Kept:
    """Plan, blocks and reports from the demo's broker, the settings of its run from its checkpoint."""
    manifest = Manifest.model_validate_json(Path(result["checkpoint"], "manifest.json").read_bytes())
    fixed = {**manifest.settings, "device": "cpu", "checkpoint_steps": 1_000_000}
    assignments = [f"kafka.brokers={result['brokers']}", f"tokenizer.path={result['tokenizer']}"]
    settings = load(
        environment={}, assignments=[*assignments, *(f"trainer.{k}={v}" for k, v in fixed.items())]
    ).settings
    cluster = Cluster(settings)
    blocks = {
        (at.partition, at.offset): Fetched(at, message.timestamp()[1], bytes(message.value() or b""))
        for message in cluster.read_all(BLOCKS, {}, cluster.end_offsets(BLOCKS))
        if (at := coordinate(message))
    }
    plan = (
        decode_plan(message.value(), coordinate(message))
        for message in cluster.read_all(PLAN, {}, cluster.end_offsets(PLAN))
    )
    steps = [(step, blocks_of(step, blocks)) for step in plan if isinstance(step, Step)]
    said = (
        decode_report(message.value(), coordinate(message))
        for message in cluster.read_all(STEPS, {}, cluster.end_offsets(STEPS))
    )
    losses = {report.step: report.loss for report in said if isinstance(report, StepReport)}
    return Kept(settings, steps, [losses[step] for step in sorted(losses)])


def blocks_of(step: Step, blocks: dict[tuple[int, int], Fetched]) -> list[Fetched]:
    """The blocks of a step in the plan's order."""
    places = ((run.partition, offset) for run in step.blocks for offset in range(run.first, run.last + 1))
    return [blocks[place] for place in places if place in blocks]


def shuffled(planned: Planned, dice: np.random.Generator) -> Planned:
    """The step with the tokens of each block in random order, and a plan record that says so."""
    step, blocks = planned
    mixed = []
    for fetched in blocks:
        block = Block.decode(fetched.value, fetched.at)
        mixed.append(replace(fetched, value=replace(block, tokens=dice.permutation(block.tokens)).encode()))
    left, runs = [block_digest(fetched.value) for fetched in mixed], []
    for run in step.blocks:
        runs.append(run._replace(digest=run_digest(left[: run.records]).hex()))
        left = left[run.records :]
    return step.model_copy(update={"blocks": tuple(runs)}), mixed


def train_again(settings: Settings, steps: Sequence[Planned]) -> list[StepReport]:
    """Train the steps from the run's first weights, on one rank in this process, through the loop."""
    with tempfile.TemporaryDirectory() as folder:
        group = join(place_from({}), torch.device("cpu"), settings.trainer.collective_timeout_s)
        checkpoints = Checkpoints(Path(folder, "run"), Keep(last=1))
        checkpoints.history.mkdir(parents=True)
        attempt = begin(settings, checkpoints, Source("", {}), group.device, time.time)
        identity, first, state = resume(settings, group, checkpoints, attempt)
        saver = Saver(checkpoints, identity, settings.tokenizer_file, time.time, last=first)
        listener = Listener()
        watch = Stopwatch(time.monotonic)
        never = Schedule(0, time.monotonic)
        run = Run(settings, group, saver, never, listener, Nobody(), watch, time.time)  # type: ignore[arg-type]
        train(run, state, (Work(step, block_digest(step.encode()), tuple(blocks)) for step, blocks in steps))
        dist.destroy_process_group()
    return listener.reports


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=Path("bench-data/demo"))
    with kept_demo(arguments.parse_args().data.resolve()) as kept:
        pass
    make_deterministic(kept.settings.trainer.threads)
    tokens = [Block.decode(fetched.value, fetched.at).tokens for _, blocks in kept.steps for fetched in blocks]
    entropy = unigram_entropy(np.bincount(np.concatenate(tokens)))
    real = train_again(kept.settings, kept.steps)
    dice = np.random.default_rng(1)
    mixed = train_again(kept.settings, [shuffled(planned, dice) for planned in kept.steps])
    faithful = [report.loss for report in real] == kept.losses
    print(f"\n{len(real)} steps, {sum(map(len, tokens))} tokens on {platform.processor() or platform.machine()}")
    print(f"the run repeated in this process gives the demo's losses {'to the bit' if faithful else 'NOT to the bit'}")
    as_it_is, in_disorder = (
        last_tenth_loss([r.tokens for r in said], [r.loss for r in said]) for said in (real, mixed)
    )
    print(f"unigram entropy {entropy:.3f} nats; last tenth: as it is {as_it_is:.3f}, shuffled {in_disorder:.3f}")
    more = tell("learned_more_than_frequencies", math.exp(entropy - as_it_is))
    no_more = tell("shuffled_tokens_learn_no_more", math.exp(entropy - in_disorder))
    return 0 if faithful and more and no_more else 1


if __name__ == "__main__":
    sys.exit(main())
