"""Ranks for unit tests: real processes and a real gloo group, synthetic steps in memory, no Kafka."""

from __future__ import annotations

import os
import pickle
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models

from headrace.contract.blocks import Block
from headrace.contract.digests import block_digest, file_sha256, run_digest
from headrace.contract.errors import Coordinate
from headrace.contract.plan import Run as PlanRun
from headrace.contract.plan import Step
from headrace.contract.settings import Settings, load
from headrace.contract.training import StepReport
from tests.forks import FORKS
from trainer.assemble import Share, Work
from trainer.board import Board
from trainer.checkpoint import Checkpoints
from trainer.fingerprint import make_deterministic
from trainer.group import Group, Place, choose_device, join
from trainer.loop import Run, train
from trainer.proof import Fetched
from trainer.report import Stopwatch
from trainer.saver import Failed, Saved, Saver
from trainer.schedule import Schedule
from trainer.start import Source, begin, resume
from trainer.state import State

VOCABULARY = 256
BLOCK_TOKENS = 64
SOURCE = Source("cluster", {"tokens.blocks": "id"})


class Quiet:
    """A reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.reports: list[StepReport] = []
        self.outcomes: list[Saved | Failed] = []

    def step(self, report: StepReport) -> None:
        self.reports.append(report)

    def idle(self, state: State, save_error: str = "") -> None: ...

    def saved(self, outcome: Saved | Failed) -> None:
        self.outcomes.append(outcome)


@dataclass
class Told:
    """A control that was told once and for all."""

    save: bool = False
    stop: bool = False
    left: list[bool] = field(default_factory=list)

    @property
    def stop_idle(self) -> bool:
        return self.stop

    def look(self) -> None: ...

    def saved(self) -> None: ...

    def leave(self) -> None:
        self.left.append(True)


def write_tokenizer(path: Path) -> Path:
    Tokenizer(models.WordLevel({str(number): number for number in range(VOCABULARY)}, "0")).save(str(path))
    return path


def make_settings(directory: Path, **trainer: Any) -> Settings:
    """A run of its own in `directory`, which holds tokenizer.json."""
    values = {"model": "tiny", "leaf_blocks": 2, "checkpoint_steps": 1000, "warmup_tokens": 500, **trainer}
    return load(
        environment={"HEADRACE_CONFIG": "/dev/null"},
        assignments=[
            f"local.data_dir={directory}",
            f"tokenizer.path={directory / 'tokenizer.json'}",
            f"tokenize.block_tokens={BLOCK_TOKENS}",
            *(f"trainer.{name}={value}" for name, value in values.items()),
        ],
    ).settings


def make_block(dice: np.random.Generator, tokenizer: str, tokens: int = 0) -> Block:
    """Two or three pieces of documents from two sources."""
    length = tokens or int(dice.integers(8, BLOCK_TOKENS + 1))
    cuts = np.sort(dice.choice(np.arange(1, length), int(dice.integers(1, 3)), replace=False))
    starts = np.concatenate(([0], cuts)).astype(np.int32)
    spans = np.diff(starts, append=length).astype(np.int32)
    pieces = len(starts)
    return Block(
        tokens=(dice.zipf(1.3, length) % VOCABULARY).astype(np.uint16),
        doc_raw=dice.integers(0, 1000, (pieces, 2)),
        doc_start=starts,
        doc_from=np.zeros(pieces, np.int32),
        doc_tokens=spans,
        doc_before=np.zeros(pieces, np.int32),
        doc_source=dice.integers(0, 2, pieces).astype(np.int32),
        sources=("chat", "mail"),
        tokenizer=tokenizer,
        window=0,
        shard=0,
        number=0,
    )


def make_steps(tokenizer: str, count: int, seed: int = 7) -> list[tuple[Step, list[Fetched]]]:
    """A plan and its blocks: ragged steps of 1 to 9 blocks out of two partitions.

    Another process would get other bytes (safetensors writes metadata in any order), so see `keep_steps`.
    """
    dice = np.random.default_rng(seed)
    steps, before, next_ = [], 0, {0: 0, 1: 0}
    for number in range(count):
        blocks, runs, tokens = [], [], 0
        for partition in (0, 1):
            size = int(dice.integers(1 - partition, 5 + partition))
            made = [make_block(dice, tokenizer) for _ in range(size)]
            fetched = [
                Fetched(Coordinate("tokens.blocks", partition, next_[partition] + i), 1000 + i, block.encode())
                for i, block in enumerate(made)
            ]
            if fetched:
                digest = run_digest(block_digest(one.value) for one in fetched).hex()
                runs.append(PlanRun(partition, fetched[0].at.offset, fetched[-1].at.offset, size, digest))
            next_[partition] += size
            tokens += sum(len(block.tokens) for block in made)
            blocks += fetched
        steps.append((Step(seq=number + 1, step=number, blocks=tuple(runs), tokens=tokens, tokens_before=before,
                           next=dict(next_), time=0), blocks))  # fmt: skip
        before += tokens
    return steps


def keep_steps(directory: Path, count: int) -> None:
    """Make one plan for all ranks of all runs in `directory`, which holds tokenizer.json."""
    steps = make_steps(file_sha256(str(directory / "tokenizer.json")), count)
    (directory / "plan.pickle").write_bytes(pickle.dumps(steps))


def make_folder(directory: Path, count: int) -> Path:
    """What runs of one plan of `count` steps share: its blocks, and a tokenizer."""
    write_tokenizer(directory / "tokenizer.json")
    keep_steps(directory, count)
    return directory


def kept_steps(settings: Settings) -> list[tuple[Step, list[Fetched]]]:
    steps: list[tuple[Step, list[Fetched]]] = pickle.loads(
        settings.tokenizer_file.with_name("plan.pickle").read_bytes()
    )
    return steps


def my_work(steps: Sequence[tuple[Step, list[Fetched]]], group: Group, leaf_blocks: int) -> list[Work]:
    """What one rank gets of these steps."""
    share = Share(group.rank, group.size, leaf_blocks)
    return [
        Work(step, block_digest(step.encode()), tuple(blocks[place] for place in share.of(step.block_count)))
        for step, blocks in steps
    ]


@dataclass
class Outcome:
    """What one rank can say after training."""

    weights: str
    fed: str
    losses: list[float]
    sources: list[dict[str, tuple[int, float]]]
    skipped: list[bool]
    step: int
    parameters: list[np.ndarray[Any, Any]]


def open_run(group: Group, settings: Settings, control: Any = None) -> tuple[Run, State]:
    """Begin or resume the run of the settings, as `trainer.__main__` does."""
    make_deterministic(settings.trainer.threads)
    checkpoints = Checkpoints.of(settings)
    if group.leads:
        checkpoints.history.mkdir(parents=True, exist_ok=True)
    attempt = group.from_leader(begin(settings, checkpoints, SOURCE, group.device, time.time) if group.leads else None)
    identity, checkpoint, state = resume(settings, group, checkpoints, attempt)
    background = settings.trainer.checkpoint_async
    saver = Saver(checkpoints, identity, settings.tokenizer_file, time.time, checkpoint, background)
    schedule, watch = Schedule(settings.trainer.checkpoint_s, time.monotonic), Stopwatch(time.monotonic)
    run = Run(settings, group, saver, schedule, Quiet(), control or Told(), watch, time.time)  # type: ignore[arg-type]
    return run, state


def train_until(group: Group, settings: Settings, stop: int) -> Outcome:
    """Train up to step `stop` of the synthetic plan and save."""
    run, state = open_run(group, settings)
    steps = kept_steps(settings)[state.step : stop]
    train(run, state, my_work(steps, group, settings.trainer.leaf_blocks))
    if group.leads:
        run.saver.save(state)
    return outcome(run, state)


def die_while_writing(group: Group, settings: Settings, behind: int) -> None:
    """The process is gone when all files of a checkpoint behind step `behind` are there, but not its manifest."""
    run, state = open_run(group, settings)

    def die() -> None:
        if run.saver.room is not None and run.saver.room.step > behind:
            os.kill(os.getpid(), signal.SIGKILL)

    run.saver.flush = die
    train(run, state, my_work(kept_steps(settings), group, settings.trainer.leaf_blocks))


def outcome(run: Run, state: State) -> Outcome:
    reports: list[StepReport] = run.reporter.reports  # type: ignore[attr-defined]
    return Outcome(
        weights=state.weights_sha256(),
        fed=state.fed.hex(),
        losses=[report.loss for report in reports],
        sources=[report.sources for report in reports],
        skipped=[report.skipped for report in reports],
        step=state.step,
        parameters=[parameter.detach().cpu().numpy().copy() for parameter in state.parameters],
    )


def on_ranks(size: int, function: Callable[..., Any], *args: Any, device: str = "cpu") -> list[Any]:
    """`function(group, *args)` on each of `size` new ranks; what each returned or raised, EOFError if it died."""
    with tempfile.TemporaryDirectory() as folder:
        pipes = [FORKS.Pipe(duplex=False) for _ in range(size)]
        places = [(rank, size, rank, size, f"file://{folder}/meeting", os.getpid()) for rank in range(size)]
        ranks = [
            FORKS.Process(target=_rank, args=(place, device, pipe[1], function, args))
            for place, pipe in zip(places, pipes, strict=True)
        ]
        for rank, (_, write) in zip(ranks, pipes, strict=True):
            rank.start()
            write.close()
        try:
            return _answers([read for read, _ in pipes])
        finally:
            for rank in ranks:
                rank.join(10)
                rank.kill()


def _answers(pipes: list[Connection]) -> list[Any]:
    """One answer of each, taken as they come: a rank that waits to be heard has not left yet."""
    answers: dict[int, Any] = {}
    while open_ones := [pipe for number, pipe in enumerate(pipes) if number not in answers]:
        ready = wait(open_ones, timeout=120)
        assert ready, "a rank does not answer"
        for pipe in ready:
            try:
                answers[pipes.index(pipe)] = pipe.recv()  # type: ignore[arg-type, union-attr]
            except EOFError as error:  # it is dead
                answers[pipes.index(pipe)] = error  # type: ignore[arg-type]
    return [answers[number] for number in range(len(pipes))]


def _rank(told: tuple[Any, ...], wanted: str, answer: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    make_deterministic(threads=1)
    place = Place(*told, board=Board(told[1]))
    device = choose_device(wanted, place.local_rank, place.local_size)
    group = join(place, device, timeout_s=30, shared=wanted == "cuda_shared")
    try:
        answer.send(function(group, *args))
    except Exception as error:  # sent to the test, which decides
        error.add_note(traceback.format_exc())
        answer.send(error)
