"""The line that every benchmark prints, the goal that it is held to, and the machine that it ran on."""

from __future__ import annotations

import os
import platform
import re
import time
import tomllib
from pathlib import Path

GOALS = Path(__file__).with_name("goals.toml")
RESULT = "RESULT "


def tell(name: str, ratio: float) -> bool:
    """Print `RESULT name=… ratio=… goal=…`; whether the goal is reached, which one without a goal always is.

    Raises KeyError for a name that goals.toml does not know.
    """
    goal = tomllib.loads(GOALS.read_text())[name]
    least, most = goal.get("at_least"), goal.get("at_most")
    reached = (least is None or ratio >= least) and (most is None or ratio <= most)
    said = [f">={least}"] * (least is not None) + [f"<={most}"] * (most is not None)
    verdict = ("reached" if reached else "MISSED") if said else ""
    print(f"{RESULT}name={name} ratio={ratio:.3f} goal={','.join(said) or 'none'} {verdict}".rstrip(), flush=True)
    return reached


def machine() -> str:
    """One line: when, and on what."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores, memory = os.cpu_count(), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    cpu = model[1] if model else platform.machine()
    return f"{now}, {cores} cores of {cpu}, {memory:.0f} GiB, Python {platform.python_version()}"
