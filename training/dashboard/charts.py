"""Charts of the dashboard as SVG rendered on the server. Colours come from the style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.project_counts import DAYS_COUNTED, ProjectCounts, last_days
from labeling.quality.charts import BarChart

WIDTH, HEIGHT, GAP = 140, 32, 2


@dataclass(frozen=True)
class Sparkline:
    """Counts per day as a row of small columns."""

    counts: Sequence[int]

    width, height = WIDTH, HEIGHT

    @property
    def columns(self) -> list[dict[str, float]]:
        """The rectangles; a day with a count of 0 is a line at the bottom."""
        step = WIDTH / len(self.counts)
        maximum = max(*self.counts, 1)
        heights = [max(count / maximum * HEIGHT, 1) for count in self.counts]
        return [
            {
                "x": round(place * step, 1),
                "y": round(HEIGHT - height, 1),
                "width": round(step - GAP, 1),
                "height": round(height, 1),
            }
            for place, height in enumerate(heights)
        ]

    @property
    def summary(self) -> str:
        """The text alternative."""
        return (
            f"{sum(self.counts):,} answers in the last {DAYS_COUNTED} days, {self.counts[-1]:,} of them today"
        )


def answers_by_day(counts: ProjectCounts) -> BarChart:
    """A chart of the answers on each of the last days, as wide as the page."""
    labels = [day.strftime("%-d %b") for day in last_days()]
    return BarChart(f"Answers in the last {DAYS_COUNTED} days", labels, counts.answers_by_day, x_label="day")
