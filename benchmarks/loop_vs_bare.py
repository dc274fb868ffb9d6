"""What does the proof cost a step? The trainer's loop, against the loop that anyone would write over ready tensors.

    python -m benchmarks.loop_vs_bare [--rounds 8] [--steps 4] [--device cuda --hidden 2048 --layers 16]

Both train the same model on the same steps out of memory, each in a process of its own, one waiting while the other
works. Ours decodes and hashes every block, lays it out, takes the gradients leaf by leaf, sums them in one fixed order,
compares what it fed with the plan, and computes deterministically. The bare one has its tensors ready on the device:
forward, backward, clip_grad_norm_, AdamW. The ratio is its time over ours.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch.distributed as dist

from benchmarks.results import machine, tell
from benchmarks.trainers import Planned, open_run, planned, work, write_model
from headrace.contract.blocks import Block
from headrace.contract.settings import Settings, load
from trainer.batch import Leaf, make_leaf
from trainer.fingerprint import make_deterministic
from trainer.group import choose_device, join, place_from
from trainer.loop import by_leaf, train
from trainer.model import new_model, token_losses, vocabulary_size

WARM_STEPS = 3
Rounds = Iterator[float]
"""Seconds of a step in each round; the next one is worked for when it is asked for."""


def ours(settings: Settings, steps: Sequence[Planned], each: int) -> Rounds:
    """`trainer.loop` with one rank."""
    make_deterministic(settings.trainer.threads)
    group = join(place_from({}), choose_device(settings.trainer.device, 0, 1), 90)
    run, state = open_run(settings, group)
    for first, last in rounds(len(steps), each):
        ready = list(work(steps[first:last]))
        begun = time.monotonic()
        train(run, state, ready)
        yield (time.monotonic() - begun) / (last - first)
    dist.destroy_process_group()


def bare(settings: Settings, steps: Sequence[Planned], each: int) -> Rounds:
    """What a tutorial shows, with gradients summed over the same micro-batches."""
    torch.set_num_threads(settings.trainer.threads)
    device = torch.device(settings.trainer.device)
    model = new_model(settings.trainer.model, vocabulary_size(settings.tokenizer_file), settings.trainer.seed)
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.trainer.learning_rate)
    for first, last in rounds(len(steps), each):
        ready = [(step.tokens, list(leaves(settings, blocks, device))) for step, blocks in steps[first:last]]
        begun = time.monotonic()
        for tokens, batches in ready:
            total = torch.zeros((), device=device)
            for batch in batches:
                loss = token_losses(model, batch, getattr(torch, settings.trainer.dtype)).sum() / tokens
                torch.autograd.backward(loss)
                total += loss.detach()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.trainer.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
            total.item()  # as anyone does who logs it
        yield (time.monotonic() - begun) / (last - first)


def leaves(settings: Settings, blocks: Sequence[object], device: torch.device) -> Iterator[Leaf]:
    """A step's leaves, on the device."""
    for fetched in by_leaf(blocks, settings.trainer.leaf_blocks):  # type: ignore[arg-type]
        leaf = make_leaf([Block.decode(one.value, one.at) for one in fetched])
        inputs, targets, positions = (tensor.to(device) for tensor in (leaf.inputs, leaf.targets, leaf.positions))
        yield replace(leaf, inputs=inputs, targets=targets, positions=positions)


def rounds(steps: int, each: int) -> Iterator[tuple[int, int]]:
    """From which step to which: the warm-up, then `each` at a time."""
    yield 0, WARM_STEPS
    yield from ((first, first + each) for first in range(WARM_STEPS, steps, each))


LOOPS: dict[str, Callable[[Settings, Sequence[Planned], int], Rounds]] = {"ours": ours, "bare": bare}


def one_loop(name: str, settings: Settings, steps: Sequence[Planned], each: int, parent: Connection) -> None:
    """One round more for each word of the parent."""
    for seconds in LOOPS[name](settings, steps, each):
        parent.send(seconds)
        parent.recv()


def compare(settings: Settings, steps: Sequence[Planned], each: int, turns: int) -> dict[str, list[float]]:
    """Seconds of a step by loop and round, in turn."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    found: dict[str, list[float]] = {name: [] for name in LOOPS}
    for name in LOOPS:
        pipes[name], child = context.Pipe()
        context.Process(target=one_loop, args=(name, settings, steps, each, child), daemon=True).start()
        pipes[name].recv()  # warm
    for _ in range(turns):
        for name, pipe in pipes.items():
            pipe.send("next")
            found[name].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send("end")
    return found


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=8)
    arguments.add_argument("--steps", type=int, default=4, help="of each loop in a round")
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument("--hidden", type=int, default=128)
    arguments.add_argument("--layers", type=int, default=2)
    arguments.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    arguments.add_argument("--block-tokens", type=int, default=128)
    arguments.add_argument("--leaf-blocks", type=int, default=8)
    arguments.add_argument("--step-tokens", type=int, default=4096)
    said = arguments.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        trainer = {key: getattr(said, key) for key in ("device", "dtype", "leaf_blocks")}
        trainer |= {
            "model": write_model(folder, said.hidden, said.layers),
            "checkpoint_steps": 10**6,
            "checkpoint_s": 0,
        }
        values = [f"trainer.{key}={value}" for key, value in trainer.items()]
        values += [f"local.data_dir={folder}", f"tokenize.block_tokens={said.block_tokens}"]
        settings = load(environment={"HEADRACE_CONFIG": os.devnull}, assignments=values).settings
        steps = planned(settings, WARM_STEPS + said.rounds * said.steps, said.step_tokens // said.block_tokens)
        found = compare(settings, steps, said.steps, said.rounds)
    ratios = [bare / own for bare, own in zip(found["bare"], found["ours"], strict=True)]
    for loop, seconds in found.items():
        middle = statistics.median(seconds)
        print(f"{loop}: {1000 * middle:.1f} ms a step, {said.step_tokens / middle:,.0f} tokens/s (median)")
    print(f"ratios {min(ratios):.3f} to {max(ratios):.3f}; hidden {said.hidden}, {said.layers} layers, {said.dtype}")
    return 0 if tell("loop_vs_bare", statistics.median(ratios)) else 1


if __name__ == "__main__":
    sys.exit(main())
