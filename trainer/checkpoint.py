"""Checkpoints on disk: a directory counts when its manifest, written last in one atomic move, is there and holds.

<checkpoint_dir>/<run>/step-0000000050/{config.json, model.safetensors, optimizer.safetensors, tokenizer.json,
manifest.json}; manifests whose weights were pruned go to <checkpoint_dir>/<run>/history/step-0000000050.json.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from headrace.contract.digests import file_sha256
from headrace.contract.errors import Coordinate, DependencyError, RecordError
from headrace.contract.training import MANIFEST, CheckpointFile, Manifest

log = logging.getLogger("headrace")


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


class Checkpoints:
    """The checkpoints of one run. One process writes them, under `lock`; any may read."""

    def __init__(self, directory: Path, keep: int) -> None:
        self.directory = directory
        self.history = directory / "history"
        self.keep = keep

    def lock(self, timeout_s: float) -> int:
        """Keep others from writing until this process ends; returns the open lock file.

        Waits for a process that is just ending; raises DependencyError after `timeout_s`.
        """
        self.history.mkdir(parents=True, exist_ok=True)
        file = os.open(self.directory / "lock", os.O_CREAT | os.O_RDWR)
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DependencyError(
                        f"another process trains the run in {self.directory}: end it, or set another trainer.run"
                    ) from None
                time.sleep(0.2)

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that holds; every torn one above it is reported."""
        for path in sorted(self.directory.glob("step-*"), reverse=True):
            try:
                checkpoint = self.read(path.name)
                self.verify(checkpoint)
            except (FileNotFoundError, RecordError) as error:
                log.warning("checkpoint is torn, its parent is used", extra={"path": str(path), "why": str(error)})
                continue
            return checkpoint
        return None

    def read(self, name: str) -> Checkpoint:
        """A checkpoint by its name; FileNotFoundError without a manifest, RecordError if that cannot be read."""
        path = self.directory / name
        manifest = (path / MANIFEST).read_bytes()
        return Checkpoint(path, Manifest.decode(manifest, Coordinate(str(path / MANIFEST), 0, 0)))

    def verify(self, checkpoint: Checkpoint) -> None:
        """Compare every file with its size and sha256 in the manifest; FileNotFoundError or RecordError."""
        for file in checkpoint.manifest.files:
            path = checkpoint.path / file.name
            if path.stat().st_size != file.bytes or file_sha256(str(path)) != file.sha256:
                raise RecordError(Coordinate(str(path), 0, 0), "differs from its size or sha256 in the manifest")

    def all(self) -> Iterator[Checkpoint]:
        """Every checkpoint that has weights and a manifest, oldest first."""
        for path in sorted(self.directory.glob("step-*")):
            if (path / MANIFEST).exists():
                yield self.read(path.name)

    def begin(self, step: int) -> Path:
        """An empty directory for the files of a checkpoint; what a crash left there is removed."""
        path = self.directory / name_of(step)
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        return path

    def finish(self, path: Path, facts: dict[str, Any]) -> Checkpoint:
        """Bring the files to disk, then the manifest in one atomic move, then prune. `facts`: its other fields."""
        files = tuple(_file(file) for file in sorted(path.iterdir()))
        manifest = Manifest(**facts, files=files)
        temporary = path / (MANIFEST + ".part")
        temporary.write_bytes(manifest.encode())
        _sync(temporary)
        temporary.rename(path / MANIFEST)
        _sync(path)
        _sync(self.directory)
        self._prune(path)
        return Checkpoint(path, manifest)

    def _prune(self, newest: Path) -> None:
        """Free the weights of all but the newest `keep` and the first; their manifests stay, for the ancestry.

        What stands above the newest did not hold when this attempt began, and goes.
        """
        paths = sorted(self.directory.glob("step-*"))
        place = paths.index(newest) + 1
        for path in paths[1:place][: -self.keep] + paths[place:]:
            if path < newest and (path / MANIFEST).exists():
                (path / MANIFEST).rename(self.history / f"{path.name}.json")
                _sync(self.history)
            shutil.rmtree(path)


def name_of(step: int) -> str:
    """The directory of a checkpoint whose next step is `step`."""
    return f"step-{step:010d}"


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
