"""Line charts as SVG, drawn on the server. No script, no inline style: colours come from the style sheet.

The SVG also carries the steps and values of every line, which a script reads off under the pointer.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from training.reports.number_format import format_number

WIDTH, HEIGHT = 480, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 26
MAX_POINTS = 240
MIN_POINTS_TO_SMOOTH = 40


@dataclass(frozen=True)
class Curve:
    """One metric over the steps of a run; `values` are (step, value), sorted by step.

    A noisy metric is drawn as its running mean, with the values themselves faintly behind it.
    """

    name: str
    values: Sequence[tuple[int, float]]
    is_noisy: bool = False

    @property
    def last(self) -> str:
        return format_number(self.values[-1][1])


@dataclass(frozen=True)
class ReferenceLine:
    """A value to compare curves with, such as a budget or a win rate of one half."""

    name: str
    value: float

    @property
    def text(self) -> str:
        return f"{self.name} {format_number(self.value)}"


@dataclass(frozen=True)
class Chart:
    """Curves that share an axis, under one title. Template-ready: all coordinates are in the view box."""

    title: str
    curves: Sequence[Curve]
    reference: ReferenceLine | None = None

    @property
    def name(self) -> str:
        """The title as an HTML id."""
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
        if self.reference is not None and self.shows_reference:
            values.append(self.reference.value)
        low, high = min(values), max(values)
        if high - low < 1e-9:
            pad = abs(high) * 0.1 or 1.0
            return low - pad, high + pad
        return low, high

    @property
    def shows_reference(self) -> bool:
        """Whether the reference line is drawn: once a curve reaches a quarter of it."""
        if self.reference is None:
            return False
        return max(value for curve in self.curves for _, value in curve.values) >= self.reference.value / 4

    @property
    def reference_y(self) -> float:
        assert self.reference is not None
        return self.y(self.reference.value)

    def x(self, step: float) -> float:
        low, high = self.steps
        return round(LEFT + (step - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self._range
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    @cached_property
    def lines(self) -> list[dict[str, object]]:
        """Each curve as the `points` of a polyline, with its steps and values, and its last point."""
        return [self._line(curve) for curve in self.curves]

    def _line(self, curve: Curve) -> dict[str, object]:
        points = downsample(curve.values)
        step, value = curve.values[-1]
        mean = downsample(running_mean(curve.values)) if curve.is_noisy else []
        return {
            "name": curve.name,
            "points": self._points(points),
            "mean": self._points(mean),
            "steps": " ".join(str(step) for step, _ in points),
            "values": " ".join(format_number(value) for _, value in points),
            "x": self.x(step),
            "y": self.y(value),
            "last": curve.last,
        }

    def _points(self, values: Sequence[tuple[int, float]]) -> str:
        return " ".join(f"{self.x(step)},{self.y(value)}" for step, value in values)

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        low, high = self._range
        return [(self.y(tick), format_number(tick)) for tick in ticks(low, high, 4)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        low, high = self.steps
        return [(self.x(tick), format_number(tick)) for tick in ticks(low, high, 5) if tick == int(tick)]


def ticks(low: float, high: float, count: int) -> list[float]:
    """At most about `count` round numbers within [low, high]: 1, 2 or 5 times a power of ten apart."""
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def downsample(values: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """At most about `MAX_POINTS` of the values, in order: the lowest and highest of each window, and both
    ends."""
    if len(values) <= MAX_POINTS:
        return values
    size = math.ceil(2 * len(values) / MAX_POINTS)
    kept = {values[0], values[-1]}
    for start in range(0, len(values), size):
        window = values[start : start + size]
        kept |= {min(window, key=lambda point: point[1]), max(window, key=lambda point: point[1])}
    return sorted(kept)


def running_mean(values: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """Each value averaged over a window of a tenth of all values; empty for short curves.

    At the start, where curves are steep, the window shrinks on both sides; at the end only on the right.
    """
    if len(values) < MIN_POINTS_TO_SMOOTH:
        return []
    sums = [0.0, *accumulate(value for _, value in values)]
    radius = len(values) // 20
    smooth = []
    for index, (step, _) in enumerate(values):
        left = min(radius, index)
        first, last = index - left, min(index + left, len(values) - 1)
        smooth.append((step, (sums[last + 1] - sums[first]) / (last + 1 - first)))
    return smooth


METRIC_ORDER = (
    "gold_accuracy", "accuracy", "longer_wins", "perplexity", "validation_loss", "bits_per_byte",
    "reward_before", "reward_after", "kl", "comparisons", "tasks",
)  # fmt: skip
"""The most important metrics in their order on a page; the others follow by name."""


def metric_rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """(label, value) of the metrics that are single numbers."""
    numbers = {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    order = sorted(
        numbers,
        key=lambda name: (METRIC_ORDER.index(name) if name in METRIC_ORDER else len(METRIC_ORDER), name),
    )
    return [(name.replace("_", " ").replace("kl", "KL"), format_number(numbers[name])) for name in order]
