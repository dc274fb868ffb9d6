"""Is this machine large enough for a stack? What the kernel says, within the limits of the container."""

from __future__ import annotations

import os

from headrace import doctor
from headrace.contract.errors import DependencyError
from headrace.contract.settings import Settings

GIB = doctor.GIB


def needed(settings: Settings) -> float:
    """GiB that the parts of a stack take together."""
    return doctor.memory_needed(
        settings.flink.taskmanager_memory_mb / 1024, settings.flink.parallelism, settings.trainer.ranks
    )


def warnings(settings: Settings, stack_to_come: bool) -> list[str]:
    """What is tight on this machine. `stack_to_come`: no part runs yet, so that all of its memory must still be free.

    Raises DependencyError when the machine, or the container's limit, is smaller than the stack.
    """
    want, (total, available) = needed(settings), doctor.memory()
    smaller = "fewer --ranks, or --set flink.taskmanager_memory_mb=1280"
    if total and total < want:
        raise DependencyError(
            f"memory too small: a stack of {settings.trainer.ranks} ranks takes {want:.1f} GiB, this machine or"
            f" container has {total:.1f}: {smaller}"
        )
    said = []
    if stack_to_come and available < want:
        said.append(f"{available:.1f} GiB of memory are available, the stack may take {want:.1f}: {smaller}")
    threads, cores = settings.trainer.ranks * settings.trainer.threads, len(os.sched_getaffinity(0))
    if threads > cores:
        said.append(
            f"{settings.trainer.ranks} ranks with {settings.trainer.threads} threads each share {cores} CPU cores with"
            " all other parts: more ranks than cores train slower"
        )
    return said
