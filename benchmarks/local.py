"""A stack of its own for a benchmark: default settings, free ports, a directory that is deleted at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from headrace.contract.settings import Ports, Settings, load
from headrace.local import jars, parts
from headrace.local.stack import Stack


@contextmanager
def stack(names: Sequence[str] = parts.ALL, *assignments: str) -> Iterator[Stack]:
    """The named parts, running; `assignments` change settings."""
    for _ in jars.fetch(jars.locked(), load(environment={}).settings.cache_dir):
        pass
    with (
        tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder,
        Stack(settings(folder, assignments), tuple(names)) as own,
    ):
        own.wait_running(300)
        yield own


def settings(folder: str, assignments: Sequence[str]) -> Settings:
    """The defaults, but for a data directory, free ports and `assignments`."""
    free = [f"local.ports.{name}=0" for name in Ports.model_fields]
    return load(
        environment={"HEADRACE_CONFIG": os.devnull}, assignments=[f"local.data_dir={folder}", *free, *assignments]
    ).settings
