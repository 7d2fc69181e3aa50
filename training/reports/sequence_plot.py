"""A win rate with its interval after each observation, as SVG drawn on the server: template-ready
coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.reports.charts import BOTTOM, LEFT, RIGHT, TOP, WIDTH, number, ticks

HEIGHT = 240
MOST_SLICES = 60
"""Vertical slices of the picture that say their figures under the pointer."""


@dataclass(frozen=True, kw_only=True)
class SequencePlot:
    """The band between `lows` and `highs`, with `rates` in it; [observations] each, of which there is one at
    least. `most` is how many there may be."""

    rates: Sequence[float]
    lows: Sequence[float]
    highs: Sequence[float]
    most: int
    names: tuple[str, str]
    """Whose win rate it is, and over whom."""

    @property
    def width(self) -> int:
        return WIDTH

    @property
    def height(self) -> int:
        return HEIGHT + 14  # room for the name of the axis

    @property
    def plot(self) -> dict[str, int]:
        """Edges of the plotting area."""
        return {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}

    @property
    def summary(self) -> str:
        """The picture in words."""
        return (
            f"{self.names[0]}'s win rate over {self.names[1]} after each of {len(self.rates)} prompts: "
            f"{self.said(len(self.rates))}"
        )

    def said(self, count: int) -> str:
        """The figures after so many observations, in words."""
        rate, low, high = (each[count - 1] for each in (self.rates, self.lows, self.highs))
        return f"{rate:.0%}, from {low:.0%} to {high:.0%}"

    def x(self, count: float) -> float:
        return round(LEFT + count / max(self.most, len(self.rates), 1) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, rate: float) -> float:
        return round(HEIGHT - BOTTOM - rate * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def half(self) -> float:
        """Where nobody prefers either."""
        return self.y(0.5)

    @property
    def band(self) -> str:
        """The points of a polygon; before the first observation everything is possible."""
        highs, lows = [1.0, *self.highs], [0.0, *self.lows]
        there = [(self.x(count), self.y(high)) for count, high in enumerate(highs)]
        back = [(self.x(count), self.y(low)) for count, low in enumerate(lows)][::-1]
        return " ".join(f"{x},{y}" for x, y in [*there, *back])

    @property
    def line(self) -> str:
        """The points of a polyline."""
        return " ".join(f"{self.x(count)},{self.y(rate)}" for count, rate in enumerate(self.rates, start=1))

    @property
    def last(self) -> tuple[float, float]:
        return self.x(len(self.rates)), self.y(self.rates[-1])

    @property
    def slices(self) -> list[dict[str, object]]:
        """Where the pointer learns what the figures were after so many prompts."""
        every = -(-len(self.rates) // MOST_SLICES)
        counts = range(len(self.rates), 0, -every)
        return [
            {
                "x": self.x(max(count - every, 0)),
                "width": round(self.x(count) - self.x(max(count - every, 0)), 1),
                "label": f"After {count} prompt{'' if count == 1 else 's'}: {self.said(count)}",
            }
            for count in counts
        ]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self.y(tick), f"{tick:.0%}") for tick in (0.0, 0.25, 0.5, 0.75, 1.0)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        return [(self.x(tick), number(tick)) for tick in ticks(0, max(self.most, len(self.rates)), 5)]
