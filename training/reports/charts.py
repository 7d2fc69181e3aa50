"""Curves as SVG, drawn on the server. No script, no inline style: colours come from the style sheet."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.models import Run

WIDTH, HEIGHT = 480, 200
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 26
MOST_POINTS = 240


@dataclass(frozen=True)
class Curve:
    """One figure over the steps of a run; `values` are (step, value), by step."""

    name: str
    values: Sequence[tuple[int, float]]

    @property
    def last(self) -> str:
        return number(self.values[-1][1])


@dataclass(frozen=True)
class Chart:
    """A titled picture of curves that share an axis. Template-ready: all coordinates are in the view box."""

    title: str
    curves: Sequence[Curve]

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

    @property
    def _steps(self) -> tuple[float, float]:
        steps = [step for curve in self.curves for step, _ in curve.values]
        return (min(steps), max(steps)) if max(steps) > min(steps) else (min(steps) - 1, max(steps) + 1)

    @property
    def _range(self) -> tuple[float, float]:
        values = [value for curve in self.curves for _, value in curve.values]
        low, high = min(values), max(values)
        if high - low < 1e-9:
            pad = abs(high) * 0.1 or 1.0
            return low - pad, high + pad
        return low, high

    def x(self, step: float) -> float:
        low, high = self._steps
        return round(LEFT + (step - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self._range
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def lines(self) -> list[dict[str, object]]:
        """Each curve as the `points` of a polyline, with its last point and value."""
        return [
            {
                "name": curve.name,
                "points": " ".join(
                    f"{self.x(step)},{self.y(value)}" for step, value in thinned(curve.values)
                ),
                "x": self.x(curve.values[-1][0]),
                "y": self.y(curve.values[-1][1]),
                "last": curve.last,
            }
            for curve in self.curves
        ]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        low, high = self._range
        return [(self.y(tick), number(tick)) for tick in ticks(low, high, 4)]

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        low, high = self._steps
        return [(self.x(tick), number(tick)) for tick in ticks(low, high, 5) if tick == int(tick)]


def ticks(low: float, high: float, count: int) -> list[float]:
    """At most about `count` round numbers within [low, high]: 1, 2 or 5 times a power of ten apart."""
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count)
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def thinned(values: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """At most about `MOST_POINTS` of the values: the lowest and the highest of each stretch, in order."""
    if len(values) <= MOST_POINTS:
        return values
    size = math.ceil(2 * len(values) / MOST_POINTS)
    kept = []
    for start in range(0, len(values), size):
        stretch = values[start : start + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def number(value: float) -> str:
    """A figure for an axis or a label: three or four digits that matter."""
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) < 0.001 or abs(value) >= 100_000:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


HELD_OUT: tuple[tuple[str, dict[str, str]], ...] = (
    ("Win rate over the policy before", {"heldout/win_rate": "reward", "heldout/gold_win_rate": "gold"}),
    ("Gold score", {"heldout/gold": "held out"}),
    ("KL, nats per sequence", {"kl": "training", "heldout/kl": "held out"}),
    ("Disagreement of the ensemble", {"heldout/disagreement": "held out"}),
)
"""What every tuning shows of its evaluations."""

CHARTS: dict[str, tuple[tuple[str, dict[str, str]], ...]] = {
    Run.Kind.PRETRAIN: (
        ("Loss", {"loss": "training", "validation_loss": "validation"}),
        ("Perplexity", {"perplexity": "validation"}),
        ("Learning rate", {"learning_rate": ""}),
        ("Tokens per second", {"tokens_per_second": ""}),
    ),
    Run.Kind.TRAIN_REWARD: (
        ("Loss", {"loss": "training", "heldout/loss": "held out"}),
        ("Accuracy", {"accuracy": "training", "heldout/accuracy": "held out"}),
        ("Margin", {"margin": "training"}),
        ("Learning rate", {"learning_rate": ""}),
    ),
    Run.Kind.FINETUNE: (
        ("Score by the reward model", {"score": "training", "heldout/reward": "held out"}),
        *HELD_OUT,
        ("Entropy, nats per token", {"entropy": ""}),
        ("Completion length, tokens", {"completions/mean_length": "training", "heldout/length": "held out"}),
    ),
    Run.Kind.DPO: (
        ("Loss", {"loss": "training"}),
        ("Accuracy on comparisons", {"accuracy": "training", "heldout/accuracy": "kept back"}),
        ("Reward", {"heldout/reward": "held out"}),
        *HELD_OUT,
        ("Log-probability of completions", {"logprob/chosen": "chosen", "logprob/rejected": "rejected"}),
        ("Completion length, tokens", {"heldout/length": "held out"}),
    ),
    Run.Kind.SUPERVISED: (
        ("Loss, nats per token", {"loss": "training"}),
        ("Likelihood of demonstrations", {"heldout/likelihood": "kept back"}),
        ("Reward", {"heldout/reward": "held out"}),
        *HELD_OUT,
        ("Completion length, tokens", {"heldout/length": "held out"}),
    ),
}
"""What is drawn for a kind of run: titles, and under each the metrics that share an axis, labelled."""


def charts_of(run: Run) -> list[Chart]:
    """The charts of a run that have something to show."""
    series: dict[str, list[tuple[int, float]]] = {}
    for step, values in run.points.order_by("step").values_list("step", "values"):
        for name, value in values.items():
            if value is not None:
                series.setdefault(name, []).append((step, value))
    return [
        Chart(title, [Curve(label, series[name]) for name, label in labels.items() if name in series])
        for title, labels in CHARTS.get(run.kind, ())
        if any(name in series for name in labels)
    ]


FIRST = (
    "gold_accuracy", "accuracy", "longer_wins", "perplexity", "validation_loss", "bits_per_byte",
    "reward_before", "reward_after", "kl", "comparisons", "tasks",
)  # fmt: skip
"""The figures that people look for, in their order; the others follow by name."""


def figures(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    """Named figures as people read them: single numbers only."""
    numbers = {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    order = sorted(numbers, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    return [(name.replace("_", " ").replace("kl", "KL"), number(numbers[name])) for name in order]
