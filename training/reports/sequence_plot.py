"""A win rate with its confidence sequence as SVG, drawn on the server: template-ready coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.reports.charts import BOTTOM, LEFT, RIGHT, TOP, WIDTH, ticks
from training.reports.number_format import format_number

HEIGHT = 240
MAX_SLICES = 60
"""Vertical slices of the plot that have a tooltip."""


@dataclass(frozen=True, kw_only=True)
class SequencePlot:
    """The band between `lows` and `highs`, with `rates` in it; [observations] each, of which there is one at
    least. `most` is how many there may be."""

    rates: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    max_count: int
    names: tuple[str, str]
    """The version whose win rate it is, and the one it is compared with."""

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
    def summary(self) -> str:
        """The text alternative for screen readers."""
        return (
            f"{self.names[0]}'s win rate over {self.names[1]} after each of {len(self.rates)} prompts: "
            f"{self.describe(len(self.rates))}"
        )

    def describe(self, count: int) -> str:
        """The rate and its interval after `count` observations."""
        rate, low, high = (each[count - 1] for each in (self.rates, self.lows, self.highs))
        return f"{rate:.0%}, from {low:.0%} to {high:.0%}"

    def x(self, count: float) -> float:
        return round(LEFT + count / max(self.max_count, len(self.rates), 1) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, rate: float) -> float:
        return round(HEIGHT - BOTTOM - rate * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def even_y(self) -> float:
        """The y coordinate of a win rate of one half."""
        return self.y(0.5)

    @property
    def band(self) -> str:
        """The points of a polygon; before the first observation it covers everything."""
        highs, lows = [1.0, *self.highs], [0.0, *self.lows]
        upper = [(self.x(count), self.y(high)) for count, high in enumerate(highs)]
        lower = [(self.x(count), self.y(low)) for count, low in enumerate(lows)][::-1]
        return " ".join(f"{x},{y}" for x, y in [*upper, *lower])

    @property
    def line(self) -> str:
        """The points of a polyline."""
        return " ".join(f"{self.x(count)},{self.y(rate)}" for count, rate in enumerate(self.rates, start=1))

    @property
    def last(self) -> tuple[float, float]:
        return self.x(len(self.rates)), self.y(self.rates[-1])

    @property
    def slices(self) -> list[dict[str, object]]:
        """Rectangles with a tooltip: the rate and its interval after so many prompts."""
        every = -(-len(self.rates) // MAX_SLICES)
        counts = range(len(self.rates), 0, -every)
        return [
            {
                "x": self.x(max(count - every, 0)),
                "width": round(self.x(count) - self.x(max(count - every, 0)), 1),
                "label": f"After {count} prompt{'' if count == 1 else 's'}: {self.describe(count)}",
            }
            for count in counts
        ]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self.y(tick), f"{tick:.0%}") for tick in (0.0, 0.25, 0.5, 0.75, 1.0)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        return [
            (self.x(tick), format_number(tick)) for tick in ticks(0, max(self.max_count, len(self.rates)), 5)
        ]
