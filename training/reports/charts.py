"""Curves as SVG, drawn on the server. No script, no inline style: colours come from the style sheet.

What the pointer reads off a picture stands in it as well: the steps and the values of all that is drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

WIDTH, HEIGHT = 480, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 26
MOST_POINTS = 240
FEWEST_TO_SMOOTH = 40


@dataclass(frozen=True)
class Curve:
    """One figure over the steps of a run; `values` are (step, value), by step.

    Of a noisy figure the running mean is drawn, and the values themselves faintly behind it.
    """

    name: str
    values: Sequence[tuple[int, float]]
    is_noisy: bool = False

    @property
    def last(self) -> str:
        return number(self.values[-1][1])


@dataclass(frozen=True)
class Level:
    """A value that curves are read against: a budget, or where two are even."""

    name: str
    value: float

    @property
    def text(self) -> str:
        return f"{self.name} {number(self.value)}"


@dataclass(frozen=True)
class Chart:
    """A titled picture of curves that share an axis. Template-ready: all coordinates are in the view box."""

    title: str
    curves: Sequence[Curve]
    level: Level | None = None

    @property
    def name(self) -> str:
        """The title as an id in the page."""
        return "-".join("".join(letter if letter.isalnum() else " " for letter in self.title.lower()).split())

    @property
    def width(self) -> int:
        return WIDTH

    @property
    def height(self) -> int:
        return HEIGHT

    @property
    def plot(self) -> dict[str, int]:
        """Edges of the plotting area."""
        return {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}

    @cached_property
    def steps(self) -> tuple[float, float]:
        """The steps at the left and the right edge of the plotting area."""
        low = min(curve.values[0][0] for curve in self.curves)
        high = max(curve.values[-1][0] for curve in self.curves)
        return low, max(high, low + 1)

    @cached_property
    def _range(self) -> tuple[float, float]:
        values = [value for curve in self.curves for _, value in curve.values]
        if self.level is not None and self.shows_level:
            values.append(self.level.value)
        low, high = min(values), max(values)
        if high - low < 1e-9:
            pad = abs(high) * 0.1 or 1.0
            return low - pad, high + pad
        return low, high

    @property
    def shows_level(self) -> bool:
        """Whether the level is drawn: a curve has come to a quarter of it. Else it would flatten them all."""
        if self.level is None:
            return False
        return max(value for curve in self.curves for _, value in curve.values) >= self.level.value / 4

    @property
    def level_y(self) -> float:
        assert self.level is not None
        return self.y(self.level.value)

    def x(self, step: float) -> float:
        low, high = self.steps
        return round(LEFT + (step - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self._range
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    @cached_property
    def lines(self) -> list[dict[str, object]]:
        """Each curve as the `points` of a polyline, with what they say, and its last point and value."""
        return [self._line(curve) for curve in self.curves]

    def _line(self, curve: Curve) -> dict[str, object]:
        drawn = thinned(curve.values)
        step, value = curve.values[-1]
        mean = thinned(running_mean(curve.values)) if curve.is_noisy else []
        return {
            "name": curve.name,
            "points": self._points(drawn),
            "mean": self._points(mean),
            "steps": " ".join(str(step) for step, _ in drawn),
            "values": " ".join(number(value) for _, value in drawn),
            "x": self.x(step),
            "y": self.y(value),
            "last": curve.last,
        }

    def _points(self, values: Sequence[tuple[int, float]]) -> str:
        return " ".join(f"{self.x(step)},{self.y(value)}" for step, value in values)

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        low, high = self._range
        return [(self.y(tick), number(tick)) for tick in ticks(low, high, 4)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        low, high = self.steps
        return [(self.x(tick), number(tick)) for tick in ticks(low, high, 5) if tick == int(tick)]


def ticks(low: float, high: float, count: int) -> list[float]:
    """At most about `count` round numbers within [low, high]: 1, 2 or 5 times a power of ten apart."""
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def thinned(values: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """At most about `MOST_POINTS` of the values, in order: the lowest and the highest of each stretch, and
    both ends."""
    if len(values) <= MOST_POINTS:
        return values
    size = math.ceil(2 * len(values) / MOST_POINTS)
    kept = {values[0], values[-1]}
    for start in range(0, len(values), size):
        stretch = values[start : start + size]
        kept |= {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
    return sorted(kept)


def running_mean(values: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """Each value as the mean of those around it, a tenth of all; none where there are few.

    At the beginning, where curves are steep, it reaches no farther to the right than to the left; at the end
    it makes do with what there is.
    """
    if len(values) < FEWEST_TO_SMOOTH:
        return []
    sums = [0.0, *accumulate(value for _, value in values)]
    reach = len(values) // 20
    smooth = []
    for index, (step, _) in enumerate(values):
        near = min(reach, index)
        first, last = index - near, min(index + near, len(values) - 1)
        smooth.append((step, (sums[last + 1] - sums[first]) / (last + 1 - first)))
    return smooth


def number(value: float) -> str:
    """A figure for an axis or a label: three or four digits that matter."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) < 0.001 or abs(value) >= 100_000:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


FIRST = (
    "gold_accuracy", "accuracy", "longer_wins", "perplexity", "validation_loss", "bits_per_byte",
    "reward_before", "reward_after", "kl", "comparisons", "tasks",
)  # fmt: skip
"""The figures that people look for, in their order; the others follow by name."""


def figures(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Named figures as people read them: single numbers only."""
    numbers = {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    order = sorted(numbers, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [(name.replace("_", " ").replace("kl", "KL"), number(numbers[name])) for name in order]
