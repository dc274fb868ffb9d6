"""How checkpoints come to the disk, and leave it: a directory counts when its manifest, written last, is there.

Where everything lies stands in `headrace.checkpoints`.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any, NamedTuple

from headrace.checkpoints import (
    Checkpoint,
    directories,
    lock,
    name_of,
    nobody_prunes,
    pins,
    read,
    step_of,
    tiers,
    verify,
)
from headrace.contract.digests import file_sha256
from headrace.contract.errors import DependencyError, RecordError, SchemaError
from headrace.contract.settings import Settings
from headrace.contract.training import MANIFEST, CheckpointFile, Manifest

log = logging.getLogger("headrace")


class Keep(NamedTuple):
    """Which checkpoints keep their weights: the newest `last`, and the first of every `every` steps (0: no such)."""

    last: int
    every: int = 0


class Checkpoints:
    """The checkpoints of one run, for the one process that writes them, under `lock`."""

    def __init__(self, directory: Path, keep: Keep) -> None:
        self.directory = directory
        self.history = directory / "history"
        self.keep = keep

    @classmethod
    def of(cls, settings: Settings) -> Checkpoints:
        """Those of the run of the settings."""
        trainer = settings.trainer
        return cls(settings.checkpoint_dir / trainer.run, Keep(trainer.keep_checkpoints, trainer.keep_every_steps))

    def lock(self, timeout_s: float) -> int:
        """Keep others from writing until this process ends; returns the open lock file.

        Waits for a process that is just ending; raises DependencyError after `timeout_s`.
        """
        try:
            self.history.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DependencyError(
                f"{self.directory} cannot be made: {error.strerror}: set trainer.checkpoint_dir"
            ) from error
        deadline = time.monotonic() + timeout_s
        while (file := lock(self.directory)) is None:
            if time.monotonic() > deadline:
                raise DependencyError(
                    f"another process trains the run in {self.directory}: end it, or set another trainer.run"
                )
            time.sleep(0.2)
        return file

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that holds; every torn one above it is reported. SchemaError for another version's."""
        for path in reversed(directories(self.directory)):
            try:
                checkpoint = read(path)
                verify(checkpoint)
            except SchemaError:
                raise
            except (FileNotFoundError, RecordError) as error:
                log.warning("checkpoint is torn, its parent is used", extra={"path": str(path), "why": str(error)})
                continue
            return checkpoint
        return None

    def begin(self, step: int, bytes_: int) -> Path:
        """An empty directory for the files of a checkpoint; what a crash left there is removed.

        Raises OSError when the disk has not `bytes_` to spare: to fill it would stop the others who write there.
        """
        path = self.directory / name_of(step)
        shutil.rmtree(path, ignore_errors=True)
        if (free := shutil.disk_usage(self.directory).free) < bytes_:
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {free} bytes are free, {bytes_} are needed")
        path.mkdir(parents=True)
        return path

    def finish(self, path: Path, facts: dict[str, Any]) -> Checkpoint:
        """Bring the files to disk, then the manifest in one atomic move. `facts`: its other fields."""
        files = tuple(_file(file) for file in sorted(path.iterdir()))
        manifest = Manifest(**facts, files=files)
        temporary = path / (MANIFEST + ".part")
        temporary.write_bytes(manifest.encode())
        _sync(temporary)
        temporary.rename(path / MANIFEST)
        _sync(path)
        _sync(self.directory)
        return Checkpoint(path, manifest)

    def prune(self, newest: Checkpoint) -> list[int]:
        """Free the weights of what no tier keeps; returns their steps. Their manifests stay, for the ancestry.

        What stands above the newest did not hold when this attempt began, and goes, unless an operator pinned it. What
        the disk does not let go stays until the next time.
        """
        try:
            return self._prune(newest)
        except OSError as error:
            log.warning("old checkpoints stay until the next save", extra={"why": str(error)})
            return []

    def _prune(self, newest: Checkpoint) -> list[int]:
        with nobody_prunes(self.directory):
            paths, pinned = directories(self.directory), pins(self.directory)
            held = [step_of(path) for path in paths if path <= newest.path and (path / MANIFEST).exists()]
            reasons = tiers(held, pinned, *self.keep)
            gone = [path for path in paths if not reasons.get(step_of(path)) and step_of(path) not in pinned]
            for path in gone:
                if step_of(path) in reasons:
                    (path / MANIFEST).rename(self.history / f"{path.name}.json")
            _sync(self.history)
        for path in gone:
            shutil.rmtree(path)
        return [step_of(path) for path in gone]


def _file(path: Path) -> CheckpointFile:
    _sync(path)
    return CheckpointFile(name=path.name, bytes=path.stat().st_size, sha256=file_sha256(str(path)))


def _sync(path: Path) -> None:
    """Bring a file, or the names in a directory, to the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
