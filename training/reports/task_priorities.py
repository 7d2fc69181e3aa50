"""The report of a run that prioritised tasks: a summary, and a histogram of acquisition scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labeling.models import Task
from training.models import Run
from training.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, ticks
from training.reports.number_format import format_number, pluralise

UNITS = {
    Task.Choice.DISAGREEMENT: "standard deviation of the members' preference probabilities",
    Task.Choice.CLOSENESS: "entropy of the predicted preference, bits",
}
"""The unit of the acquisition score, by acquisition function."""


BAR_PARTS = {"later": "later", "random": "prioritised at random", "chosen": "prioritised by score"}
"""The parts of a bar from the bottom, with their labels."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Tasks by acquisition score, in stacked bars of three parts; template-ready."""

    x_label: str
    low: float
    step: float  # the width of a bar, in units of the score
    later: Sequence[int]
    random: Sequence[int]
    chosen: Sequence[int]

    width = WIDTH
    height = HEIGHT + 14  # room for the axis label
    legend = tuple((part, BAR_PARTS[part]) for part in ("chosen", "random", "later"))

    @property
    def plot(self) -> dict[str, int]:
        """Edges of the plotting area."""
        return {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}

    @property
    def max_count(self) -> int:
        """The number of tasks of the highest bar."""
        return max(1, *(sum(parts) for parts in zip(self.later, self.random, self.chosen, strict=True)))

    @property
    def summary(self) -> str:
        """The text alternative for screen readers."""
        ends = (format_number(round(end, 3)) for end in (self.low, self.low + self.step * len(self.random)))
        parts = (f"{sum(getattr(self, part))} {name}" for part, name in self.legend)
        return f"Tasks by acquisition score from {' to '.join(ends)}: {'; '.join(parts)}"

    def x(self, value: float) -> float:
        span = self.step * len(self.random)
        return round(LEFT + (value - self.low) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(self, tasks: float) -> float:
        return round(HEIGHT - BOTTOM - tasks / self.max_count * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def bars(self) -> list[dict[str, Any]]:
        """A rectangle for each part of each bar."""
        found = []
        for place in range(len(self.random)):
            start = self.low + place * self.step
            left, right = self.x(start), self.x(start + self.step)
            bottom = 0
            for part, name in BAR_PARTS.items():
                if tasks := getattr(self, part)[place]:
                    top = self.y(bottom + tasks)
                    found.append(
                        {
                            "side": part,
                            "x": left,
                            "y": top,
                            "width": round(max(1.0, right - left - 1), 1),
                            "height": round(self.y(bottom) - top, 1),
                            "label": f"{start:.3f} to {start + self.step:.3f}: {tasks} {name}",
                        }
                    )
                    bottom += tasks
        return found

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [
            (self.y(tick), format_number(tick)) for tick in ticks(0, self.max_count, 4) if tick == int(tick)
        ]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        end = self.low + self.step * len(self.random)
        return [(self.x(tick), format_number(tick)) for tick in ticks(self.low, end, 5)]


@dataclass(frozen=True, kw_only=True)
class TaskPriorities:
    """What the run did."""

    text: str
    histogram: Histogram


def task_priorities(run: Run) -> TaskPriorities | None:
    """The report of a finished run; None for other runs."""
    found = run.metrics
    if run.kind != Run.Kind.ORDER_TASKS or "usefulness" not in found:
        return None
    by, useful = Task.Choice(run.parameters["by"]), found["usefulness"]
    texts = [
        f"{pluralise(found['tasks'], 'open task')} prioritised by {by}: {found['chosen']:,} selected by score"
    ]
    if found["random"]:
        texts[0] += f", {found['random']:,} at random, on which quality metrics are unbiased."
    else:
        texts[0] += " and none at random, so quality metrics on these tasks are biased."
    means = useful["means"]
    labels = {"chosen": "selected", "random": "random"}
    scores = [
        f"{format_number(round(means[name], 3))} for {labels[name]} tasks"
        for name in ("chosen", "random")
        if name in means
    ]
    texts.append(f"Mean acquisition score: {', '.join(scores)}.")
    return TaskPriorities(
        text=" ".join(texts),
        histogram=Histogram(
            x_label=UNITS[by],
            low=useful["low"],
            step=useful["width"],
            later=useful["later"],
            random=useful["random"],
            chosen=useful["chosen"],
        ),
    )


def terminal_lines(run: Run) -> list[str]:
    """The report for a terminal."""
    found = task_priorities(run)
    return [f"  {found.text}"] if found else []
