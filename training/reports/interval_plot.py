"""Points with error bars as SVG, drawn on the server: template-ready coordinates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, ticks
from training.reports.number_format import format_number


@dataclass(frozen=True)
class Point:
    """A share observed at x, its 95 % interval, and the number of observations."""

    x: float
    share: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, kw_only=True)
class IntervalPlot:
    """A plot of points with error bars. `diagonal` draws the line where the share equals x, both in percent;
    `log_x` makes the x axis logarithmic."""

    title: str
    x_label: str  # label of the x axis
    y_label: str  # label of the y axis
    summary: str  # text alternative for screen readers
    points: Sequence[Point]
    diagonal: bool = False
    log_x: bool = False

    @property
    def width(self) -> int:
        return WIDTH

    @property
    def height(self) -> int:
        return HEIGHT + 14  # room for the axis label

    @property
    def plot(self) -> dict[str, int]:
        """Edges of the plotting area."""
        return {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}

    @property
    def _x_range(self) -> tuple[float, float]:
        if self.diagonal:
            return 0.49, 1.03
        places = [self._scale(point.x) for point in self.points]
        pad = (max(places) - min(places)) * 0.04 or 0.5
        return min(places) - pad, max(places) + pad

    @property
    def _y_range(self) -> tuple[float, float]:
        """Whole tenths around all intervals."""
        lows, highs = [point.low for point in self.points], [point.high for point in self.points]
        ends = (0.5, 1.0) if self.diagonal else (max(lows), min(highs))
        low = math.floor(10 * min(*lows, *ends)) / 10
        return low, max(math.ceil(10 * max(*highs, *ends)) / 10, low + 0.1)

    def _scale(self, x: float) -> float:
        return math.log2(x) if self.log_x else x

    def x(self, value: float) -> float:
        low, high = self._x_range
        return round(LEFT + (self._scale(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, share: float) -> float:
        low, high = self._y_range
        return round(HEIGHT - BOTTOM - (share - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def error_bars(self) -> list[dict[str, Any]]:
        """Each point with its error bar and tooltip."""
        return [
            {
                "x": self.x(point.x),
                "y": self.y(point.share),
                "low": self.y(point.low),
                "high": self.y(point.high),
                "label": f"{self.label(point.x)}: {point.share:.0%} of {point.count:,} "
                f"({point.low:.0%} to {point.high:.0%})",
            }
            for point in self.points
        ]

    @property
    def line(self) -> str:
        """The points of a polyline."""
        return " ".join(f"{self.x(point.x)},{self.y(point.share)}" for point in self.points)

    @property
    def ideal(self) -> dict[str, float] | None:
        """The line where the share equals x."""
        if not self.diagonal:
            return None
        low, high = max(0.5, self._y_range[0]), 1.0
        return {"x1": self.x(low), "y1": self.y(low), "x2": self.x(high), "y2": self.y(high)}

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self.y(tick), f"{tick:.0%}") for tick in ticks(*self._y_range, 5)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        places = [point.x for point in self.points] if self.log_x else ticks(*self._x_range, 5)
        return [(self.x(place), self.label(place)) for place in places]

    def label(self, x: float) -> str:
        return f"{x:.0%}" if self.diagonal else format_number(x)
