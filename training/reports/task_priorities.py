"""What became of the order of a project's tasks: sentences, and a picture of how useful they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labeling.models import Task
from training.models import Run
from training.reports.charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, number, ticks
from training.reports.evaluation_report import counted

UNITS = {
    Task.Choice.DISAGREEMENT: "deviation of the members' probabilities that one sample is preferred",
    Task.Choice.CLOSENESS: "entropy of the answer in bits: 1 is a coin's",
}
"""What is measured, by what makes a task useful."""


SIDES = {"later": "later", "random": "asked first, at random", "chosen": "asked first, chosen"}
"""The parts of a bar, from its foot, and what they are called."""


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Tasks by their usefulness, in bars of three parts; template-ready."""

    across: str
    low: float
    step: float  # the width of a bar, in units of usefulness
    later: Sequence[int]
    random: Sequence[int]
    chosen: Sequence[int]

    width = WIDTH
    height = HEIGHT + 14  # room for the name of the axis
    key = tuple((side, SIDES[side]) for side in ("chosen", "random", "later"))

    @property
    def plot(self) -> dict[str, int]:
        """Edges of the plotting area."""
        return {"left": LEFT, "right": WIDTH - RIGHT, "top": TOP, "bottom": HEIGHT - BOTTOM}

    @property
    def most(self) -> int:
        """The tasks of the highest bar."""
        return max(1, *(sum(parts) for parts in zip(self.later, self.random, self.chosen, strict=True)))

    @property
    def summary(self) -> str:
        """The picture in words."""
        ends = (number(round(end, 3)) for end in (self.low, self.low + self.step * len(self.random)))
        parts = (f"{sum(getattr(self, side))} {name}" for side, name in self.key)
        return f"Tasks by usefulness from {' to '.join(ends)}: {'; '.join(parts)}"

    def x(self, value: float) -> float:
        span = self.step * len(self.random)
        return round(LEFT + (value - self.low) / span * (WIDTH - LEFT - RIGHT), 1)

    def y(self, tasks: float) -> float:
        return round(HEIGHT - BOTTOM - tasks / self.most * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def bars(self) -> list[dict[str, Any]]:
        """A rectangle for each part of each bar."""
        found = []
        for place in range(len(self.random)):
            start = self.low + place * self.step
            left, right = self.x(start), self.x(start + self.step)
            foot = 0
            for side, name in SIDES.items():
                if tasks := getattr(self, side)[place]:
                    top = self.y(foot + tasks)
                    found.append(
                        {
                            "side": side,
                            "x": left,
                            "y": top,
                            "width": round(max(1.0, right - left - 1), 1),
                            "height": round(self.y(foot) - top, 1),
                            "label": f"{start:.3f} to {start + self.step:.3f}: {tasks} {name}",
                        }
                    )
                    foot += tasks
        return found

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        return [(self.y(tick), number(tick)) for tick in ticks(0, self.most, 4) if tick == int(tick)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        end = self.low + self.step * len(self.random)
        return [(self.x(tick), number(tick)) for tick in ticks(self.low, end, 5)]


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """What an ordering did."""

    text: str
    histogram: Histogram


def ordering(run: Run) -> Ordering | None:
    """What an ordering that is done did; None for anything else."""
    found = run.metrics
    if run.kind != Run.Kind.ORDER_TASKS or "usefulness" not in found:
        return None
    by, useful = Task.Choice(run.parameters["by"]), found["usefulness"]
    texts = [f"{counted(found['tasks'], 'waiting task')} put in order by {by}: {found['chosen']:,} chosen"]
    if found["random"]:
        texts[0] += f", {found['random']:,} at random, on which figures about people are unbiased."
    else:
        texts[0] += " and none at random, so figures about people on these tasks will be biased."
    means = useful["means"]
    said = [f"{number(round(means[name], 3))} where {name}" for name in ("chosen", "random") if name in means]
    texts.append(f"Usefulness of what is asked first: {', '.join(said)}.")
    return Ordering(
        text=" ".join(texts),
        histogram=Histogram(
            across=UNITS[by],
            low=useful["low"],
            step=useful["width"],
            later=useful["later"],
            random=useful["random"],
            chosen=useful["chosen"],
        ),
    )


def lines(run: Run) -> list[str]:
    """The same for a terminal."""
    found = ordering(run)
    return [f"  {found.text}"] if found else []
