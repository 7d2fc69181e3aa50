"""Pictures of a loop: SVG drawn on the server. Colours come from the style sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

from labeling.project_counts import DAYS, Tally, last_days
from labeling.quality.charts import Columns

WIDTH, HEIGHT, GAP = 140, 32, 2


@dataclass(frozen=True)
class Days:
    """Counts of the last days as a row of small columns."""

    counts: Sequence[int]

    width, height = WIDTH, HEIGHT

    @property
    def columns(self) -> list[dict[str, float]]:
        """Where each is; a day without any leaves a line on the ground."""
        step = WIDTH / len(self.counts)
        most = max(*self.counts, 1)
        heights = [max(count / most * HEIGHT, 1) for count in self.counts]
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
        """The same in words."""
        return f"{sum(self.counts):,} answers in the last {DAYS} days, {self.counts[-1]:,} of them today"


def answers_by_day(tally: Tally) -> Columns:
    """Answers on each of the last days, as a picture of a page's width."""
    labels = [day.strftime("%-d %b") for day in last_days()]
    return Columns(f"Answers in the last {DAYS} days", labels, tally.by_day, across="day")
