"""Pictures for the pages of quality: SVG drawn on the server. Colours come from the style sheet.

Each picture is ready for its template: all coordinates are in the view box, and `summary` says in words what
it shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

WIDTH, HEIGHT = 480, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 12, 26
WIDEST_COLUMN = 40
"""One day alone is a column, not a wall."""
MOST_LABELS = 6


class Ranged(Protocol):
    """A figure with an interval."""

    @property
    def share(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def percent(share: float) -> str:
    """A share as people read it."""
    return f"{100 * share:.0f} %"


def figure(value: float) -> str:
    """A figure that is no share: an alpha, a tau."""
    return f"{value:.2f}".replace("-", "−")


def seconds(value: float) -> str:
    """A time as people read it."""
    return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"


# -- A small interval in a row of a table -----------------------------------------------------------------

SMALL_WIDTH = 120
SMALL_HEIGHT = 16
EDGE = 5


@dataclass(frozen=True)
class Bar:
    """A figure with its interval on a line from `low_end` to `high_end`, and a tick at what is usual."""

    value: float
    low: float
    high: float
    usual: float | None = None
    low_end: float = 0.0
    high_end: float = 1.0

    width, height, middle = SMALL_WIDTH, SMALL_HEIGHT, SMALL_HEIGHT // 2

    def _x(self, value: float) -> float:
        inside = min(max(value, self.low_end), self.high_end)
        return round(
            EDGE + (inside - self.low_end) / (self.high_end - self.low_end) * (SMALL_WIDTH - 2 * EDGE), 1
        )

    @property
    def x(self) -> dict[str, float | None]:
        """Where everything lies."""
        return {
            "value": self._x(self.value),
            "low": self._x(self.low),
            "high": self._x(self.high),
            "usual": None if self.usual is None else self._x(self.usual),
        }

    @property
    def edges(self) -> tuple[int, int]:
        """The ends of the axis."""
        return EDGE, SMALL_WIDTH - EDGE


# -- Over time --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """A figure in one period with its interval, if it has one, and of how many."""

    period: int
    value: float
    low: float | None
    high: float | None
    of: int


@dataclass(frozen=True, kw_only=True)
class OverTime:
    """A figure followed over periods. `usual` is drawn as a dashed line and named."""

    title: str
    unit: str
    """What one period is: day, week, month."""
    labels: Sequence[str]
    points: Sequence[Point]
    bottom: float = 0.0
    top: float = 1.0
    shape: Any = percent
    usual: float | None = None
    usual_name: str = ""
    of: str = "answers"

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
        """Each point: where it is, and what it says."""
        return [
            {
                "x": self._x(point.period),
                "y": self._y(point.value),
                "low": None if point.low is None else self._y(point.low),
                "high": None if point.high is None else self._y(point.high),
                "period": self.labels[point.period],
                "value": self.shape(point.value),
                "range": "" if point.low is None or point.high is None
                else f"{self.shape(point.low)} to {self.shape(point.high)}",
                "of": point.of,
            }
            for point in self.points
        ]  # fmt: skip

    @property
    def line(self) -> str:
        """The points of a polyline."""
        return " ".join(f"{self._x(point.period)},{self._y(point.value)}" for point in self.points)

    @property
    def usual_y(self) -> float | None:
        return None if self.usual is None else self._y(self.usual)

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        steps = [self.bottom + (self.top - self.bottom) * part / 4 for part in range(5)]
        return [(self._y(value), self.shape(value)) for value in steps]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        return [(self._x(number), self.labels[number]) for number in labelled(len(self.labels))]

    @property
    def summary(self) -> str:
        """The first, the last and the extremes in words."""
        if not self.points:
            return f"{self.title}: nothing yet."
        first, last = self.points[0], self.points[-1]
        lowest = min(self.points, key=lambda point: point.value)
        highest = max(self.points, key=lambda point: point.value)
        said = f"{self.title}, by {self.unit}: {self.shape(first.value)} ({self.labels[first.period]})"
        if len(self.points) > 1:
            said += f" to {self.shape(last.value)} ({self.labels[last.period]})"
            said += f"; lowest {self.shape(lowest.value)} ({self.labels[lowest.period]})"
            said += f", highest {self.shape(highest.value)} ({self.labels[highest.period]})"
        return f"{said}."


# -- Counts -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Columns:
    """How many of each: a column for every label."""

    title: str
    labels: Sequence[str]
    counts: Sequence[int]
    across: str = ""
    note: str = ""
    every_label: bool = False

    width, height = WIDTH, HEIGHT
    plot = {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}

    @property
    def total(self) -> int:
        return sum(self.counts)

    @property
    def _top(self) -> int:
        """A round number that holds all."""
        most = max(self.counts, default=0)
        if most <= 4:
            return 4
        step = 10 ** int(math.log10(most))
        return next(
            int(step * part) for part in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 5, 6, 8, 10) if step * part >= most
        )

    def _y(self, count: float) -> float:
        return round(HEIGHT - BOTTOM - count / self._top * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Each column: where it is, and what it says."""
        step = (WIDTH - LEFT - RIGHT) / max(len(self.labels), 1)
        width = min(0.72 * step, WIDEST_COLUMN)
        return [
            {
                "x": round(LEFT + (number + 0.5) * step - width / 2, 1),
                "y": self._y(count),
                "width": round(width, 1),
                "height": round(HEIGHT - BOTTOM - self._y(count), 1),
                "label": label,
                "count": count,
                "share": percent(count / self.total) if self.total else "",
            }
            for number, (label, count) in enumerate(zip(self.labels, self.counts, strict=True))
        ]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self._y(value), f"{value:,.0f}") for value in (0, self._top / 2, self._top)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        step = (WIDTH - LEFT - RIGHT) / max(len(self.labels), 1)
        numbers = range(len(self.labels)) if self.every_label else labelled(len(self.labels))
        return [(round(LEFT + (number + 0.5) * step, 1), self.labels[number]) for number in numbers]

    @property
    def summary(self) -> str:
        """All columns in words, or the most and the total of many."""
        if not self.total:
            return f"{self.title}: nothing yet."
        if len(self.labels) <= 9:
            said = ", ".join(f"{row['label']}: {row['count']:,} ({row['share']})" for row in self.rows)
            return f"{self.title}: {said}."
        most = max(range(len(self.counts)), key=self.counts.__getitem__)
        return f"{self.title}: {self.total:,} in all, at most {self.counts[most]:,} ({self.labels[most]})."


def labelled(count: int) -> Sequence[int]:
    """Which of so many places to name, so that names do not run into each other."""
    step = math.ceil(count / MOST_LABELS) or 1
    return range(0, count, step)
