"""`python -m trainer.replay --from STEP --to STEP`: train again between two checkpoints, in memory; say what came out.

One rank, whatever the run had: in canonical reduction the bits are the same at any number. It reads plan, blocks and
the first checkpoint, and writes nothing but a `Replayed` a step to standard output. `headrace verify` judges it.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import torch.distributed as dist

from headrace.checkpoints import Checkpoint, name_of, nobody_prunes, read, verify
from headrace.contract.errors import ContractError, DependencyError, HeadraceError
from headrace.contract.settings import Settings, load
from headrace.contract.training import Replayed, StepReport
from headrace.kafka import Cluster
from trainer.assemble import Assembler, Pins, Position, Share, Work
from trainer.checkpoint import Checkpoints, Keep
from trainer.fingerprint import make_deterministic
from trainer.group import Group, choose_device, join, place_from
from trainer.identity import Identity
from trainer.loop import Run, train
from trainer.report import Stopwatch
from trainer.saver import Saver
from trainer.schedule import Schedule
from trainer.start import Source, identify
from trainer.state import State
from trainer.stream import Stream


class Printer:
    """A reporter that says each step to standard output, and tells no topic."""

    def step(self, report: StepReport) -> None:
        say(Replayed(step=report.step + 1, fed=report.fed))

    def idle(self, state: State, save_error: str = "") -> None: ...

    def saved(self, outcome: Any) -> None: ...


class Nobody:
    """An operator who asks for nothing."""

    save = stop = stop_idle = False

    def look(self) -> None: ...

    def saved(self) -> None: ...


def say(replayed: Replayed) -> None:
    print(replayed.encode().decode(), flush=True)


def replay(settings: Settings, group: Group, first: int, last: int) -> Replayed:
    """Train steps `first` to `last` - 1 from the checkpoint of step `first`; blocks while blocks are read.

    Raises ContractError where checkpoint, plan or blocks contradict each other, DependencyError when data do not come.
    """
    cluster, directory = Cluster(settings), settings.checkpoint_dir / settings.trainer.run
    checkpoint, state = load_state(settings, directory, first, group)
    source = Source(cluster.id(), cluster.topic_ids())
    identity = identify(settings, "replay", source, state.model, group.device)
    identity.check_continues(checkpoint.manifest, f"checkpoint {checkpoint.name} of run {identity.run}")
    with tempfile.TemporaryDirectory(prefix="headrace-replay-") as scratch:
        run = open_run(settings, group, identity, checkpoint, Path(scratch))
        position = Position(state.seq, state.step, state.tokens)
        share = Share(group.rank, group.size, settings.trainer.leaf_blocks)
        pins = Pins(identity.cluster, identity.topics, identity.tokenizer)
        with closing(Stream(settings, Assembler(position, share, pins))) as stream:
            train(run, state, until(stream, last, settings.trainer.fetch_timeout_s))
    weights, seen = state.weights_sha256(), identity.fingerprint
    return Replayed(step=state.step, fed=state.fed.hex(), weights=weights, fingerprint=seen)


def load_state(settings: Settings, directory: Path, step: int, group: Group) -> tuple[Checkpoint, State]:
    """A checkpoint, every file of it as its manifest says, and the state in it."""
    with nobody_prunes(directory):
        checkpoint = read(directory / name_of(step))
        verify(checkpoint)
        state = State.load(checkpoint.path, checkpoint.manifest, settings.trainer, group.device)
    if (weights := state.weights_sha256()) != checkpoint.manifest.weights:
        raise ContractError(f"weights of {checkpoint.path} are {weights}, manifest says {checkpoint.manifest.weights}")
    return checkpoint, state


def open_run(settings: Settings, group: Group, identity: Identity, checkpoint: Checkpoint, scratch: Path) -> Run:
    """The loop's surroundings, of which none saves, reports or obeys."""
    saver = Saver(Checkpoints(scratch, Keep(1)), identity, settings.tokenizer_file, time.time, checkpoint)
    schedule, watch = Schedule(0, time.monotonic), Stopwatch(time.monotonic)
    return Run(settings, group, saver, schedule, Printer(), Nobody(), watch, time.time)  # type: ignore[arg-type]


def until(steps: Iterable[Work | None], last: int, timeout_s: float) -> Iterator[Work]:
    """The steps before `last`; raises DependencyError when the next one does not come for `timeout_s`."""
    since = time.monotonic()
    for work in steps:
        if work is not None:
            yield work
            since = time.monotonic()
            if work.step.step == last - 1:
                return
        elif time.monotonic() - since > timeout_s:
            raise DependencyError(f"no step before step {last} came for {timeout_s:.0f} s: see `headrace verify`")


def run_rank(settings: Settings, first: int, last: int) -> Replayed:
    """One rank of its own from the settings."""
    make_deterministic(settings.trainer.threads)
    device = choose_device(settings.trainer.device, 0, 1)
    group = join(place_from({}), device, settings.trainer.collective_timeout_s)
    try:
        return replay(settings, group, first, last)
    finally:
        dist.destroy_process_group()


def end(code: int) -> NoReturn:
    """End without destructors: a reader thread may still wait for the broker."""
    sys.stdout.flush()
    os._exit(code)


def main() -> NoReturn:
    parser = argparse.ArgumentParser(prog="python -m trainer.replay", description=__doc__)
    parser.add_argument("--from", dest="first", type=int, required=True, help="step of the checkpoint to begin with")
    parser.add_argument("--to", dest="last", type=int, required=True, help="step to train up to")
    said = parser.parse_args()
    try:
        kept = [f"trainer.checkpoint_steps={sys.maxsize}"]
        say(run_rank(load(assignments=kept).settings, said.first, said.last))
    except (HeadraceError, FileNotFoundError) as error:
        print(f"headrace: {error}", file=sys.stderr, flush=True)
        end(getattr(error, "exit_code", DependencyError.exit_code))
    end(0)


if __name__ == "__main__":
    main()
