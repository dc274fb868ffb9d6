"""Room on the disks where a stack keeps its data: what is full stops, waits, and goes on when there is room again."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path

from headrace.contract.settings import Settings

MIB = 1024 * 1024


def directories(settings: Settings) -> dict[str, Path]:
    """The folders that grow, by what lies in them; they may lie on different disks."""
    return {
        "kafka": settings.data_dir / "kafka",
        "flink": settings.flink_state_dir,
        "checkpoints": settings.checkpoint_dir,
        "logs": settings.data_dir / "logs",
        "run": settings.data_dir / "run",
    }


def free(path: Path) -> int:
    """Bytes that this user may still write where `path` is or will be."""
    return shutil.disk_usage(next(there for there in (path, *path.parents) if there.exists())).free


def short(settings: Settings) -> list[str]:
    """One line for each disk that has less room than `local.least_free_mb`; empty if all have enough."""
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    for name, path in directories(settings).items():
        there = next(there for there in (path, *path.parents) if there.exists())
        found[there.stat().st_dev, free(there)].append(f"{name} {path}")
    least = settings.local.least_free_mb * MIB
    return [
        f"disk {'full' if room < least // 16 else 'nearly full'}: {room // MIB:,} MiB free for {', '.join(users)};"
        f" at least {settings.local.least_free_mb:,} MiB should be (local.least_free_mb)."
        " Free some: what waits goes on by itself"
        for (_, room), users in found.items()
        if room < least
    ]
