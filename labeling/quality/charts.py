"""SVG charts of the quality pages, laid out on the server. Colours come from the style sheet.

Coordinates are in the view box; `summary` is the text alternative.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

WIDTH, HEIGHT = 480, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 26
MAX_BAR_WIDTH = 40
"""So that a single bar does not fill the chart."""
MAX_LABELS = 6


class HasInterval(Protocol):
    """An estimate with an interval."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def format_percent(value: float) -> str:
    """A proportion, such as 0.25, as "25 %"."""
    return f"{100 * value:.0f} %"


def format_number(value: float) -> str:
    """A coefficient such as alpha or tau."""
    return f"{value:.2f}".replace("-", "−")


def format_seconds(value: float) -> str:
    """A duration, such as 3.2 as "3.2 s"."""
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


# -- Intervals in table rows ------------------------------------------------------------------------------

SMALL_WIDTH = 120
SMALL_HEIGHT = 16
MARGIN = 5


@dataclass(frozen=True)
class IntervalBar:
    """An estimate with its interval on an axis from `axis_min` to `axis_max`, with a tick at the baseline."""

    value: float
    low: float
    high: float
    baseline: float | None = None
    axis_min: float = 0.0
    axis_max: float = 1.0

    width, height, middle = SMALL_WIDTH, SMALL_HEIGHT, SMALL_HEIGHT // 2

    def _x(self, value: float) -> float:
        inside = min(max(value, self.axis_min), self.axis_max)
        return round(
            MARGIN + (inside - self.axis_min) / (self.axis_max - self.axis_min) * (SMALL_WIDTH - 2 * MARGIN),
            1,
        )

    @property
    def x(self) -> dict[str, float | None]:
        """The x coordinates."""
        return {
            "value": self._x(self.value),
            "low": self._x(self.low),
            "high": self._x(self.high),
            "baseline": None if self.baseline is None else self._x(self.baseline),
        }

    @property
    def edges(self) -> tuple[int, int]:
        """The x coordinates of the axis ends."""
        return MARGIN, SMALL_WIDTH - MARGIN


# -- Over time --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A value of one period, from `n` observations, with its interval if there is one."""

    period: int
    value: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, kw_only=True)
class LineChart:
    """A metric over periods. `baseline` is drawn as a labelled dashed line."""

    title: str
    unit: str
    """The length of a period: day, week or month."""
    labels: Sequence[str]
    points: Sequence[Point]
    bottom: float = 0.0
    top: float = 1.0
    format_value: Any = format_percent
    baseline: float | None = None
    baseline_label: str = ""
    n_label: str = "answers"

    width, height = WIDTH, HEIGHT
    plot = {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}

    def _x(self, period: int) -> float:
        step = (WIDTH - LEFT - RIGHT) / len(self.labels)
        return round(LEFT + (period + 0.5) * step, 1)

    def _y(self, value: float) -> float:
        inside = min(max(value, self.bottom), self.top)
        share = (inside - self.bottom) / (self.top - self.bottom)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Coordinates and texts of each point."""
        return [
            {
                "x": self._x(point.period),
                "y": self._y(point.value),
                "low": None if point.low is None else self._y(point.low),
                "high": None if point.high is None else self._y(point.high),
                "period": self.labels[point.period],
                "value": self.format_value(point.value),
                "range": "" if point.low is None or point.high is None
                else f"{self.format_value(point.low)} to {self.format_value(point.high)}",
                "n": point.n,
            }
            for point in self.points
        ]  # fmt: skip

    @property
    def line(self) -> str:
        """The points of a polyline."""
        return " ".join(f"{self._x(point.period)},{self._y(point.value)}" for point in self.points)

    @property
    def baseline_y(self) -> float | None:
        return None if self.baseline is None else self._y(self.baseline)

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        steps = [self.bottom + (self.top - self.bottom) * part / 4 for part in range(5)]
        return [(self._y(value), self.format_value(value)) for value in steps]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        return [(self._x(number), self.labels[number]) for number in label_indices(len(self.labels))]

    @property
    def summary(self) -> str:
        """The first and last value and the extremes as text."""
        if not self.points:
            return f"{self.title}: nothing yet."
        first, last = self.points[0], self.points[-1]
        lowest = min(self.points, key=lambda point: point.value)
        highest = max(self.points, key=lambda point: point.value)
        text = f"{self.title}, by {self.unit}: {self.format_value(first.value)} ({self.labels[first.period]})"
        if len(self.points) > 1:
            text += f" to {self.format_value(last.value)} ({self.labels[last.period]})"
            text += f"; lowest {self.format_value(lowest.value)} ({self.labels[lowest.period]})"
            text += f", highest {self.format_value(highest.value)} ({self.labels[highest.period]})"
        return f"{text}."


# -- Counts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BarChart:
    """Counts, one bar for each label."""

    title: str
    labels: Sequence[str]
    counts: Sequence[int]
    x_label: str = ""
    note: str = ""
    every_label: bool = False

    width, height = WIDTH, HEIGHT
    plot = {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def _top(self) -> int:
        """A round number above all counts."""
        highest = max(self.counts, default=0)
        if highest <= 4:
            return 4
        step = 10 ** int(math.log10(highest))
        return next(
            int(step * part) for part in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10) if step * part >= highest
        )

    def _y(self, count: float) -> float:
        return round(HEIGHT - BOTTOM - count / self._top * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Coordinates and texts of each bar."""
        step = (WIDTH - LEFT - RIGHT) / max(len(self.labels), 1)
        width = min(0.72 * step, MAX_BAR_WIDTH)
        return [
            {
                "x": round(LEFT + (number + 0.5) * step - width / 2, 1),
                "y": self._y(count),
                "width": round(width, 1),
                "height": round(HEIGHT - BOTTOM - self._y(count), 1),
                "label": label,
                "count": count,
                "share": format_percent(count / self.total) if self.total else "",
            }
            for number, (label, count) in enumerate(zip(self.labels, self.counts, strict=True))
        ]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self._y(value), f"{value:,.0f}") for value in (0, self._top / 2, self._top)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        step = (WIDTH - LEFT - RIGHT) / max(len(self.labels), 1)
        numbers = range(len(self.labels)) if self.every_label else label_indices(len(self.labels))
        return [(round(LEFT + (number + 0.5) * step, 1), self.labels[number]) for number in numbers]

    @property
    def summary(self) -> str:
        """All bars as text; of many bars, the total and the maximum."""
        if not self.total:
            return f"{self.title}: nothing yet."
        if len(self.labels) <= 9:
            text = ", ".join(f"{row['label']}: {row['count']:,} ({row['share']})" for row in self.rows)
            return f"{self.title}: {text}."
        top = max(range(len(self.counts)), key=self.counts.__getitem__)
        return f"{self.title}: {self.total:,} in total, at most {self.counts[top]:,} ({self.labels[top]})."


def label_indices(count: int) -> Sequence[int]:
    """The indices to label, so that labels do not overlap."""
    step = math.ceil(count / MAX_LABELS) or 1
    return range(0, count, step)
