"""Charts as inline SVG. Only shapes lie in it, stretched to the width of the page; all text is HTML beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from headrace.page.axes import Axis
from headrace.page.series import Floats, Points

WIDTH, HEIGHT = 1000, 300
COLOURS = 8
"""How many colours the style sheet has."""
PAUSE = 8
"""A line breaks where two points lie so many times further apart than they mostly do."""


@dataclass(frozen=True)
class Key:
    """One line of a legend; `look` is a class of the style sheet."""

    look: str
    label: str


@dataclass(frozen=True)
class Chart:
    """What the template needs: shapes, axes, legend, and `about`, the same in words for who cannot see it."""

    x: Axis
    y: Axis
    shapes: Markup
    keys: tuple[Key, ...] = ()
    about: str = ""


@dataclass
class Drawing:
    """Shapes on two axes, drawn one above the other."""

    x: Axis
    y: Axis
    shapes: list[str] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)

    def line(self, points: Points, label: str, colour: int = 0, band: str = "") -> None:
        """A line through the means; `band` names the shading from the least to the greatest, where there is any."""
        pieces = list(self._unbroken(points))
        if band and (points.high > points.low).any():
            bands = "".join(
                f"M{self._path(one.x, one.low)}L{self._path(one.x[::-1], one.high[::-1])}Z" for one in pieces
            )
            self.shapes.append(f'<path class="band c{colour}" d="{bands}"/>')
            self.keys.append(Key(f"band c{colour}", band))
        # A line of no length is a dot, by its round ends.
        lines = "".join(f"M{self._path(one.x, one.mean)}" + "h0" * (len(one.x) == 1) for one in pieces)
        self.shapes.append(f'<path class="line c{colour}" d="{lines}"/>')
        self.keys.append(Key(f"line c{colour}", label))

    def level(self, value: float, label: str) -> None:
        """A dashed line across."""
        y = self._y(value)
        self.shapes.append(f'<path class="level" d="M0 {y:.0f}H{WIDTH}"/>')
        self.keys.append(Key("level", label))

    def marks(self, places: Iterable[float], label: str, look: str) -> None:
        """Lines from top to bottom."""
        found = [f"M{self._x(place):.0f} 0V{HEIGHT}" for place in places if self.x.low <= place <= self.x.high]
        if found:
            self.shapes.append(f'<path class="{look}" d="{"".join(found)}"/>')
            self.keys.append(Key(look, label))

    def bars(self, edges: Floats, heights: Mapping[str, Floats], colours: Sequence[int]) -> None:
        """Bars on top of each other between `edges`, the first name at the bottom."""
        below = np.zeros(max(0, len(edges) - 1))
        for colour, (name, height) in zip(colours, heights.items(), strict=True):
            pieces = []
            for left, right, low, high in zip(edges[:-1], edges[1:], below, below + height, strict=True):
                if high > low:
                    pieces.append(
                        f"M{self._x(left):.1f} {self._y(low):.1f}V{self._y(high):.1f}"
                        f"H{self._x(right):.1f}V{self._y(low):.1f}Z"
                    )
            self.shapes.append(f'<path class="bar c{colour}" d="{"".join(pieces)}"/>')
            self.keys.append(Key(f"bar c{colour}", name))
            below = below + height

    def done(self, about: str) -> Chart:
        """The chart, with lines at the ticks of y behind it all."""
        ticks = "".join(f"M0 {HEIGHT * (1 - tick.at / 100):.0f}H{WIDTH}" for tick in self.y.ticks)
        grid = f'<path class="grid" d="{ticks}"/>'
        # Nothing but numbers and names of classes was put into the shapes, so nothing in them needs escaping.
        return Chart(self.x, self.y, Markup(grid + "".join(self.shapes)), tuple(self.keys), about)

    def _unbroken(self, points: Points) -> Iterator[Points]:
        """The pieces between pauses, across which a line would make up what nobody saw."""
        apart = np.diff(points.x)
        pause = max(PAUSE * float(np.median(apart)), 0.02 * (self.x.high - self.x.low)) if len(apart) else 0.0
        ends = [0, *(np.flatnonzero(apart > pause) + 1), len(points.x)]
        for first, last in pairwise(ends):
            yield Points(*(column[first:last] for column in points))

    def _x(self, value: float) -> float:
        return self.x.place(value) * WIDTH / 100

    def _y(self, value: float) -> float:
        return HEIGHT * (1 - self.y.place(value) / 100)

    def _path(self, xs: Floats, ys: Floats) -> str:
        return "L".join(f"{self._x(x):.1f} {self._y(y):.1f}" for x, y in zip(xs, ys, strict=True))
