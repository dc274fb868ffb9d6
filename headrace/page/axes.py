"""Axes: where they begin and end, and what stands at which place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from headrace.page.words import short

NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
TIMES = (
    *(1000 * n for n in (1, 2, 5, 10, 20, 30)),
    *(MINUTE * n for n in (1, 2, 5, 10, 20, 30)),
    *(HOUR * n for n in (1, 2, 3, 6, 12)),
    *(DAY * n for n in (1, 2, 7, 14, 28, 91, 182, 364)),
)


@dataclass(frozen=True)
class Tick:
    """`at`: percent of the axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """From `low` to `high`; `label` says what and in which unit."""

    label: str
    low: float
    high: float
    ticks: tuple[Tick, ...] = ()

    def place(self, value: float) -> float:
        """Where a value lies, in percent of the axis."""
        return 100 * (value - self.low) / (self.high - self.low)


def value_axis(label: str, low: float, high: float, whole: bool = False) -> Axis:
    """Up to five round numbers. With `whole` it ends where the values do, else at a round number."""
    high = high if high > low else low + max(1.0, abs(low))
    step = nice((high - low) / 4)
    if not whole:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return _ticked(label, low, high, [(value, short(value)) for value in _multiples(low, high, step)])


def time_axis(low: float, high: float) -> Axis:
    """Epoch milliseconds, as UTC; the date stands there once a day is part of it."""
    high = max(high, low + 1000)
    step = next((one for one in TIMES if (high - low) / one <= 5), nice((high - low) / 5))
    form = "%H:%M:%S" if step < MINUTE else "%H:%M" if step < DAY else "%d %b"
    days = f"{_utc(low):%d %b %Y}" + (f" to {_utc(high):%d %b %Y}" if _utc(low).date() != _utc(high).date() else "")
    named = [(value, f"{_utc(value):{form}}") for value in _multiples(low, high, step)]
    return _ticked(f"time (UTC), {days}", low, high, named)


def nice(step: float) -> float:
    """The least round number that is no smaller."""
    size = 10.0 ** math.floor(math.log10(step))
    return next(size * one for one in NICE if size * one >= step * (1 - 1e-9))


def _multiples(low: float, high: float, step: float) -> Iterator[float]:
    for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1):
        yield index * step


def _ticked(label: str, low: float, high: float, named: list[tuple[float, str]]) -> Axis:
    axis = Axis(label, low, high)
    return Axis(label, low, high, tuple(Tick(round(axis.place(value), 2), text) for value, text in named))


def _utc(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
