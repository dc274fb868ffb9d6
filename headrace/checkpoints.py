"""Checkpoints as they lie on disk, for whoever reads them. Only the trainer writes them; operators pin them.

<checkpoint_dir>/<run>/step-0000000050/{config.json, model.safetensors, …}   `step` is the next one to train
<checkpoint_dir>/<run>/step-0000000050/manifest.json                         written last; without it nothing counts
<checkpoint_dir>/<run>/step-0000000050/pinned                                an operator's note: it is never pruned
<checkpoint_dir>/<run>/history/step-0000000050.json                          manifests whose weights were pruned
<checkpoint_dir>/<run>/ended                                                 an operator's word: nobody trains it on
<checkpoint_dir>/<run>/lock                                                  held by the process that trains the run
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from headrace.contract.digests import file_sha256
from headrace.contract.errors import Coordinate, DependencyError, RecordError, SchemaError, SettingsError
from headrace.contract.training import MANIFEST, Manifest

PINNED = "pinned"
ENDED = "ended"


class Checkpoint(NamedTuple):
    """A finished checkpoint."""

    path: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.manifest.files)


def name_of(step: int) -> str:
    """The directory of a checkpoint whose next step is `step`."""
    return f"step-{step:010d}"


def step_of(path: Path) -> int:
    """The step that a checkpoint's directory is named after."""
    return int(path.name.removeprefix("step-"))


def directories(run: Path) -> list[Path]:
    """All that may be a checkpoint of a run, oldest first."""
    return sorted(path for path in run.glob("step-*") if path.name[5:].isdigit())


def read(path: Path) -> Checkpoint:
    """A checkpoint; FileNotFoundError without a manifest, RecordError if that cannot be read."""
    manifest = (path / MANIFEST).read_bytes()
    return Checkpoint(path, Manifest.decode(manifest, Coordinate(str(path / MANIFEST), 0, 0)))


def verify(checkpoint: Checkpoint, hashes: bool = True) -> None:
    """Compare every file with its size, and with its sha256, in the manifest; FileNotFoundError or RecordError."""
    for file in checkpoint.manifest.files:
        path = checkpoint.path / file.name
        if path.stat().st_size != file.bytes or (hashes and file_sha256(str(path)) != file.sha256):
            raise RecordError(Coordinate(str(path), 0, 0), "differs from its size or sha256 in the manifest")


def finished(run: Path) -> Iterator[Checkpoint]:
    """Every checkpoint that has weights and a manifest that is whole, oldest first; SchemaError for another version."""
    for path in directories(run):
        try:
            checkpoint = read(path)
        except SchemaError:
            raise
        except (FileNotFoundError, RecordError):
            continue
        yield checkpoint


def pruned(run: Path) -> Iterator[Manifest]:
    """The manifests of checkpoints whose weights are gone, oldest first."""
    for path in sorted((run / "history").glob("step-*.json")):
        yield Manifest.decode(path.read_bytes(), Coordinate(str(path), 0, 0))


def tiers(steps: Sequence[int], pinned: Collection[int], last: int, every: int) -> dict[int, tuple[str, ...]]:
    """Why each of these checkpoints is kept, by step, oldest first; one without a reason may be pruned.

    last    it is one of the newest `last`
    every   it is the first that is left of every `every` steps (0: none is)
    pinned  an operator wants it
    """
    newest, reasons = set(steps[-last:]), {}
    for before, step in zip([None, *steps], steps, strict=False):
        first = every > 0 and (before is None or before // every < step // every)
        why = {"last": step in newest, "every": first, "pinned": step in pinned}
        reasons[step] = tuple(name for name, holds in why.items() if holds)
    return reasons


def pins(run: Path) -> dict[int, str]:
    """Operators' notes on the pinned checkpoints, by step."""
    return {step_of(path.parent): path.read_text().strip() for path in sorted(run.glob(f"step-*/{PINNED}"))}


def pin(run: Path, step: int, note: str) -> None:
    """Keep a checkpoint until it is unpinned, through every restart; raises SettingsError where there is none."""
    with nobody_prunes(run):
        _existing(run, step).joinpath(PINNED).write_text(note)


def unpin(run: Path, step: int) -> None:
    """Let a checkpoint be pruned again, at the next save; raises SettingsError where there is none."""
    with nobody_prunes(run):
        _existing(run, step).joinpath(PINNED).unlink(missing_ok=True)


def end_run(run: Path, delete: bool) -> None:
    """Nobody will train the run on, so nothing is kept for that; `delete`: its weights go too, its manifests stay.

    Raises SettingsError where there is no run. Nobody may train it meanwhile.
    """
    with nobody_prunes(run):
        (run / ENDED).touch()
        for path in directories(run) if delete else ():
            if (path / MANIFEST).exists():
                (path / MANIFEST).rename(run / "history" / f"{path.name}.json")
            shutil.rmtree(path)


def is_ended(run: Path) -> bool:
    """Whether an operator has ended the run."""
    return (run / ENDED).exists()


def take_up(run: Path) -> None:
    """Take back that the run was ended."""
    (run / ENDED).unlink(missing_ok=True)


def _existing(run: Path, step: int) -> Path:
    path = run / name_of(step)
    if not (path / MANIFEST).exists():
        there = ", ".join(str(step_of(found.parent)) for found in sorted(run.glob(f"step-*/{MANIFEST}")))
        raise SettingsError(f"{run} has no checkpoint of step {step} with weights: there are {there or 'none'}")
    return path


@contextmanager
def nobody_prunes(run: Path) -> Iterator[None]:
    """Pinning and pruning exclude each other, for the moment that either takes."""
    try:
        file = os.open(run, os.O_RDONLY)
    except FileNotFoundError:
        raise SettingsError(f"there is no run in {run}: see `headrace runs list`, or set trainer.run") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def lock(run: Path) -> int | None:
    """Keep others from writing the checkpoints of a run until this process ends; None if somebody else does."""
    try:
        file = os.open(run / "lock", os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise DependencyError(f"{run} cannot be written: {error.strerror}: set trainer.checkpoint_dir") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def is_locked(run: Path) -> bool:
    """Whether a process on this machine trains the run now."""
    try:
        file = os.open(run / "lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
