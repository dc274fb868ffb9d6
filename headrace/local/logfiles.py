"""The log files of a stack: one for each part, appended to, bounded while everything runs.

logs/NAME.log     what the part writes to standard output and standard error
logs/NAME.log.1   what was there before, once NAME.log had grown to LOG_BYTES; the older of the two, and the last
logs/…_LOG        RocksDB's own, one for each start of an operator of Flink
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LOG_BYTES = 16 * 1024 * 1024
ROCKSDB_LOGS = 64
"""So many of the newest are kept."""


def path_of(data_dir: Path, name: str) -> Path:
    """The log of a part."""
    return data_dir / "logs" / f"{name}.log"


def older(path: Path) -> Path:
    """Where a log's earlier lines are."""
    return path.with_suffix(".log.1")


def open_log(data_dir: Path, name: str) -> int:
    """A descriptor that appends to the part's log."""
    path = path_of(data_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def bound(data_dir: Path, most: int | None = None) -> None:
    """Set every log aside that has grown to `most` (LOG_BYTES), and remove RocksDB's old ones.

    Whoever writes has the file open for appending, so it is copied and emptied, not renamed; what is written between
    the two is lost. Without room for the copy it is only emptied: a full disk must not fill further.
    """
    for path in (data_dir / "logs").glob("*.log"):
        if path.stat().st_size >= (LOG_BYTES if most is None else most):
            _set_aside(path)
    rocksdb = sorted((data_dir / "logs").glob("*_LOG*"), key=lambda path: path.stat().st_mtime)
    for path in rocksdb[:-ROCKSDB_LOGS]:
        path.unlink()


def _set_aside(path: Path) -> None:
    older(path).unlink(missing_ok=True)
    try:
        shutil.copyfile(path, older(path))
    except OSError:
        older(path).unlink(missing_ok=True)
    os.truncate(path, 0)
