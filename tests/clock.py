"""A wall clock that a test can set, for a whole stack: every process takes it from a file (`clock.c`)."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import psutil

LIBRARY, FILE = "LD_PRELOAD", "CLOCK_FILE"
"""Environment variables of a process with such a clock."""


def build_clock(folder: Path) -> dict[str, str] | None:
    """The environment of processes whose clock `set_clock(folder / "offset", …)` sets; None without a C compiler."""
    if (compiler := shutil.which("cc")) is None:
        return None
    library, source = folder / "clock.so", Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    set_clock(folder / "offset", 0)
    return {LIBRARY: str(library), FILE: str(folder / "offset")}


def set_clock(file: Path, seconds: int) -> None:
    """In one write, so that nobody sees half of it; the file stays the one that others have mapped."""
    handle = os.open(file, os.O_WRONLY | os.O_CREAT)
    os.pwrite(handle, struct.pack("<q", seconds), 0)
    os.close(handle)


def clock_of(process: psutil.Process) -> float:
    """What a process with this environment takes for now."""
    environment = {name: value for name, value in process.environ().items() if name in (LIBRARY, FILE)}
    said = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"], env=environment, capture_output=True
    )
    return float(said.stdout)
