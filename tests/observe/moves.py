"""For each panel of Overview and Training: the fault or change that moves it, and which way, as in docs/observe.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.observe.prom import Series

FLOW = "text begins to flow"
REJECTS = "documents that were seen before, or are too short"
RANK_STOPS = "one of two ranks stands still"
PLANNER_STOPS = "the planner stands still"
RANK_DIES = "a rank is killed"
FLOOD = "a thousand documents at once"
SILENCE = "nobody publishes"
RESIZE = "one rank instead of two"
FULL = "half a gigabyte is written beside the data"

RISES, FALLS = "rises", "falls"


class Move(NamedTuple):
    """What moves a panel, and its value then."""

    by: str
    way: str
    least: float = 0.0
    """In the panel's unit; it has also to move by a twentieth of what it was, where that is 0."""


OVERVIEW: Mapping[str, Move] = {
    "Is everything up?": Move(PLANNER_STOPS, FALLS),
    "What is wrong now?": Move(PLANNER_STOPS, RISES),
    "Is text flowing?": Move(FLOW, RISES),
    "Who has still to read, and how much?": Move(RANK_STOPS, RISES),
    "How old is the text at each stage?": Move(RANK_STOPS, RISES),
    "What share of the documents is rejected?": Move(REJECTS, RISES),
    "How many tokens a second are learned?": Move(RANK_STOPS, FALLS),
    "Is the model getting better?": Move(FLOW, FALLS),
    "How much of its time does training wait for text?": Move(FLOOD, FALLS),
    "How much would be trained again after a crash?": Move(RANK_STOPS, RISES),
    "What was started again?": Move(RANK_DIES, RISES),
    "How much room is left?": Move(FULL, FALLS, 400e6),
}
TRAINING: Mapping[str, Move] = {
    "Is the loss falling?": Move(FLOW, FALLS),
    "How fast does it learn?": Move(RANK_STOPS, FALLS),
    "Where does a step's time go?": Move(RANK_STOPS, RISES),
    "How far is it behind the plan?": Move(RANK_STOPS, RISES),
    "Which step?": Move(FLOW, RISES),
    "How large is a planned step?": Move(FLOW, RISES),
    "How steep is it?": Move(FLOW, RISES),
    "At which rate does it learn?": Move(FLOW, RISES),
    "How old is the text of a step?": Move(RANK_STOPS, RISES),
    "How many ranks share a step?": Move(RESIZE, FALLS),
    "When was the last checkpoint?": Move(RANK_STOPS, RISES),
    "What does a checkpoint take?": Move(FLOW, RISES),
    "How large is a checkpoint?": Move(FLOW, RISES),
}
BOARDS: Mapping[str, Mapping[str, Move]] = {"headrace-overview": OVERVIEW, "headrace-training": TRAINING}

LEAST = 0.05
"""A value has moved that differs by this share of it."""


def moved(move: Move, found: Iterable[Series], begin: float, end: float) -> bool:
    """Whether a value of any series leaves, between `begin` and `end`, all that it was in the time before, that way."""
    return any(_left(move, values, begin, end) for series in found for values in series.values())


def _left(move: Move, values: list[tuple[float, float]], begin: float, end: float) -> bool:
    before = [value for at, value in values if at < begin]
    during = [value for at, value in values if begin <= at <= end]
    if not during:
        return False
    if move.way == RISES:
        most = max(before, default=0.0)
        return max(during) > most + (move.least or LEAST * abs(most))
    least = min(before, default=max(during))  # it begins in this time: from where it was highest
    return min(during) < least - (move.least or LEAST * abs(least))
