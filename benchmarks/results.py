"""The line that every benchmark prints, and the goal that it is held to."""

from __future__ import annotations

import tomllib
from pathlib import Path

GOALS = Path(__file__).with_name("goals.toml")


def tell(name: str, ratio: float) -> bool:
    """Print `RESULT name=… ratio=… goal=…`; whether the goal is reached. Raises KeyError for a name without a goal."""
    goal = tomllib.loads(GOALS.read_text())[name]
    least, most = goal.get("at_least"), goal.get("at_most")
    reached = (least is None or ratio >= least) and (most is None or ratio <= most)
    sign, value = (">=", least) if least is not None else ("<=", most)
    print(f"RESULT name={name} ratio={ratio:.3f} goal={sign}{value} {'reached' if reached else 'MISSED'}")
    return reached
