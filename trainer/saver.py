"""Writes the checkpoints of a run, one at a time, in a thread, out of a copy of the state.

The copy is made in the thread too, while the next step computes its gradients: the state changes only where a step
updates it, and it is there that the loop waits for the copy, if it has to.

It reads state and nothing else, so when it happens cannot change a weight; and only rank 0 does it, without a
collective (decision 9).
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event
from typing import Any

from safetensors import SafetensorError

from headrace.checkpoints import Checkpoint
from headrace.contract.errors import DependencyError
from trainer.checkpoint import Checkpoints
from trainer.identity import Identity
from trainer.state import State

log = logging.getLogger("headrace")

ROOM = 1.1
"""A checkpoint is begun where so many times the bytes of the last one are free."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint that was finished, the steps of those whose weights went for it, and how long it took to write."""

    checkpoint: Checkpoint
    pruned: list[int]
    seconds: float = 0.0


@dataclass(frozen=True)
class Failed:
    """A checkpoint that could not be written; the older ones are as they were."""

    step: int
    why: str


class Saver:
    """Saves states of one attempt, each the child of the `last`; one save is in flight at most.

    `background`: `begin` returns at once, and the state must not change until `hold` has returned; else it returns when
    the checkpoint is on the disk or has failed.
    `flush` blocks until the broker holds all reports, or raises DependencyError: what a checkpoint covers was reported.
    `clock` gives epoch seconds. `origin`: the parent of the first checkpoint, RUN/CHECKPOINT, if it has one.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        identity: Identity,
        tokenizer_file: Path,
        clock: Callable[[], float],
        last: Checkpoint | None = None,
        background: bool = False,
        flush: Callable[[], None] = lambda: None,
        origin: str | None = None,
    ) -> None:
        self.checkpoints = checkpoints
        self.identity = identity
        self.tokenizer_file = tokenizer_file
        self.clock = clock
        self.last = last
        self.background = background
        self.flush = flush
        self.origin = origin
        self.late = False
        """A checkpoint was due while one was being written."""
        self.trouble = ""
        """Why the last try failed; empty after one that did not."""
        self.room: State | None = None
        """The memory of the copy; made by the first save in the background."""
        self.copied = Event()
        self.copied.set()
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="saver")
        self.writing: tuple[int, Future[Saved]] | None = None

    def begin(self, state: State) -> bool:
        """Begin to save, unless the last checkpoint is of this very step; False (and `late`) while one is in flight."""
        self.late = self.writing is not None
        if self.late:
            return False
        if self.last is None or self.last.manifest.step != state.step:
            self._submit(state, self.background)
        return True

    def hold(self) -> None:
        """Block until the state may change: a save that has begun has copied it."""
        self.copied.wait()

    def finished(self) -> Saved | Failed | None:
        """What has become of the save in flight, once; None while there is none or it lasts."""
        if self.writing is None or not self.writing[1].done():
            return None
        (step, future), self.writing = self.writing, None
        error = future.exception()
        if isinstance(error, OSError | SafetensorError | DependencyError):
            self.trouble = f"checkpoint of step {step} in {self.checkpoints.directory}: {error}"
            log.error("checkpoint failed, older ones are kept", extra={"step": step, "why": self.trouble})
            return Failed(step, self.trouble)
        saved = future.result()
        self.last, self.trouble = saved.checkpoint, ""
        log.info("checkpoint", extra={"step": step, "path": str(self.last.path), "pruned": saved.pruned})
        return saved

    def settle(self) -> Saved | Failed | None:
        """`finished`, once the save in flight is over; blocks until then."""
        if self.writing is not None:
            wait([self.writing[1]])
        return self.finished()

    def save(self, state: State) -> Saved | None:
        """Save and wait until it is on the disk; None if the last checkpoint is of this step.

        No save may be in flight. Raises DependencyError when the checkpoint cannot be written.
        """
        assert self.writing is None, "settle first"
        if self.last is not None and self.last.manifest.step == state.step:
            return None
        self._submit(state, background=False)
        outcome = self.settle()
        if isinstance(outcome, Failed):
            raise DependencyError(
                f"{outcome.why}. Free the disk or set trainer.checkpoint_dir; nothing is lost: the run goes on from"
                f" {self.last.name if self.last else 'its beginning'} and trains the steps behind it again"
            )
        return outcome

    def _submit(self, state: State, background: bool) -> None:
        facts = self._facts(state)
        if background:
            self.copied.clear()
            self.writing = (state.step, self.thread.submit(self._copy_and_write, state, facts))
        else:
            self.writing = (state.step, self.thread.submit(self._write, state, facts))
            wait([self.writing[1]])

    def _facts(self, state: State) -> dict[str, Any]:
        """What the manifest says, but for the weights' hash and the files."""
        return {
            **asdict(self.identity),
            "seq": state.seq,
            "step": state.step,
            "tokens": state.tokens,
            "fed": state.fed.hex(),
            "parent": self.last.name if self.last else self.origin,
            "time": int(self.clock() * 1000),
        }

    def _copy_and_write(self, state: State, facts: dict[str, Any]) -> Saved:
        try:
            self.room = state.copy(self.room)
        finally:
            self.copied.set()
        return self._write(self.room, facts)

    def _write(self, state: State, facts: dict[str, Any]) -> Saved:
        """The thread: all files, the reports, the manifest; then what no tier keeps goes."""
        begun = time.monotonic()
        path = self.checkpoints.begin(state.step, int(self.last.bytes * ROOM) if self.last else 0)
        try:
            state.write(path)
            shutil.copyfile(self.tokenizer_file, path / "tokenizer.json")
            self.flush()
            checkpoint = self.checkpoints.finish(path, {**facts, "weights": state.weights_sha256()})
        except BaseException:  # a torn one would only keep the disk full
            shutil.rmtree(path, ignore_errors=True)
            raise
        return Saved(checkpoint, self.checkpoints.prune(checkpoint), time.monotonic() - begun)
