"""Long series in bounded memory: sums, least and greatest by stretch of x; too many stretches are joined in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MOST = 1_000
"""Stretches of a series: more than a screen has room for."""


@dataclass
class Stretch:
    """All that fell into one stretch, by name: weighted sums, the weights in them, the least and the greatest value."""

    count: int = 0
    x: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    lows: dict[str, float] = field(default_factory=dict)
    highs: dict[str, float] = field(default_factory=dict)

    def merge(self, other: Stretch) -> None:
        """Take in what another one holds."""
        self.count, self.x = self.count + other.count, self.x + other.x
        for name, value in other.sums.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.weights[name] = self.weights.get(name, 0.0) + other.weights[name]
            self.lows[name] = min(self.lows.get(name, np.inf), other.lows[name])
            self.highs[name] = max(self.highs.get(name, -np.inf), other.highs[name])

    def mean(self, name: str) -> float:
        """Of a value that was seen here."""
        return self.sums[name] / self.weights[name]


class Points(NamedTuple):
    """f64 [stretch]: mean x, mean value, least and greatest value."""

    x: Floats
    mean: Floats
    low: Floats
    high: Floats


class Series:
    """Values over x, in any order of x. Memory does not grow beyond `most` stretches of equal width."""

    def __init__(self, most: int = MOST, width: float = 1.0) -> None:
        self.most, self.width = most, width
        self.stretches: dict[int, Stretch] = {}

    def add(self, x: float, values: Mapping[str, float], weight: float = 1.0) -> None:
        """Take in what was seen at x; `weight` is what it counts in means."""
        sums = {name: value * weight for name, value in values.items()}
        one = Stretch(1, x, sums, dict.fromkeys(values, weight), dict(values), dict(values))
        self._at(int(x // self.width)).merge(one)
        if len(self.stretches) > self.most:
            self._double()

    def forget_from(self, x: float) -> None:
        """Drop the stretches that lie at x and beyond."""
        self.stretches = {key: one for key, one in self.stretches.items() if one.x / one.count < x}

    def points(self, name: str) -> Points:
        """The means of one value, where it was seen."""
        found = [one for _, one in sorted(self.stretches.items()) if name in one.sums]
        rows = [(one.x / one.count, one.mean(name), one.lows[name], one.highs[name]) for one in found]
        return Points(*np.array(rows, np.float64).reshape(-1, 4).T)

    def weights(self, name: str) -> Floats:
        """f64 [stretch]: what each of `points` counts."""
        found = [one.weights[name] for _, one in sorted(self.stretches.items()) if name in one.sums]
        return np.array(found, np.float64)

    def coarser(self, most: int) -> Series:
        """The same in at most `most` stretches from the first to the last."""
        found = Series(self.most, self.width)
        for key, one in self.stretches.items():
            found._at(key).merge(one)
        while found.stretches and max(found.stretches) - min(found.stretches) >= most:
            found._double()
        return found

    def between(self, share: float) -> tuple[Series, int]:
        """Without the ends of x that hold less than `share` of all each, if they are most of the way; and how many."""
        keys = sorted(self.stretches)
        if not keys:
            return self, 0
        held = np.cumsum([self.stretches[key].count for key in keys])
        first, last = np.searchsorted(held, [held[-1] * share, held[-1] * (1 - share)])
        inner = keys[first : last + 1]
        if (inner[-1] - inner[0] + 1) * 2 >= keys[-1] - keys[0] + 1:
            return self, 0
        found = Series(self.most, self.width)
        found.stretches = {key: self.stretches[key] for key in inner}
        return found, int(held[-1]) - sum(one.count for one in found.stretches.values())

    def edges(self) -> Floats:
        """f64 [stretch + 1]: where the stretches from the first to the last begin, and where the last one ends."""
        keys = self.stretches
        return np.arange(min(keys), max(keys) + 2) * self.width if keys else np.zeros(0)

    def totals(self, name: str) -> Floats:
        """f64 [stretch]: the sums between `edges`."""
        empty = Stretch()
        between = range(min(self.stretches), max(self.stretches) + 1) if self.stretches else ()
        return np.array([self.stretches.get(key, empty).sums.get(name, 0.0) for key in between], np.float64)

    def counts(self) -> Floats:
        """f64 [stretch]: how often something was seen between `edges`."""
        empty = Stretch()
        between = range(min(self.stretches), max(self.stretches) + 1) if self.stretches else ()
        return np.array([self.stretches.get(key, empty).count for key in between], np.float64)

    def _at(self, key: int) -> Stretch:
        return self.stretches.setdefault(key, Stretch())

    def _double(self) -> None:
        self.width *= 2
        old, self.stretches = self.stretches, {}
        for key, one in old.items():
            self._at(key // 2).merge(one)
