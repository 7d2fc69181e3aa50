"""The curves of a run: which figures are drawn for its kind, and the rows that they are drawn from.

A long run has more rows than a picture has pixels, and a page must not take longer for it. So rows are read
at steps a power of two apart, which stay the same while the run goes on, and the last row. What is measured
only now and then stands in few rows, with an index of their own, and is thinned in the same way by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from training.models import Run
from training.models.records import EVALUATION_METRICS
from training.reports.charts import Chart, Curve, Level

MOST_ROWS = 500
"""Rows of each sort that are read for a page, at most."""

Row = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a run: its charts, and one row of how many was read for them."""

    charts: list[Chart]
    every: int


@dataclass(frozen=True)
class Picture:
    """What one chart shows: the metrics that share an axis, labelled; and the parameter or the number that
    they are read against, named."""

    title: str
    metrics: dict[str, str]
    level: tuple[str, str | float] | None = None


LEARNING_RATE = Picture("Learning rate", {"learning_rate": ""})
GRADIENT = Picture("Gradient norm", {"gradient_norm": ""})
WINS = Picture(
    "Win rate over the policy before",
    {"heldout/win_rate": "reward", "heldout/gold_win_rate": "gold"},
    ("even", 0.5),
)
KL = Picture(
    "KL, nats per sequence", {"kl": "training", "heldout/kl": "held out"}, ("budget", "kl_budget")
)  # fmt: skip
HELD_OUT_REWARD = Picture("Reward", {"heldout/reward": "held out"})
GOLD = Picture("Gold score", {"heldout/gold": "held out"})
DISAGREEMENT = Picture("Disagreement of the ensemble", {"heldout/disagreement": "held out"})
LENGTH = Picture("Completion length, tokens", {"heldout/length": "held out"})

PICTURES: dict[str, tuple[Picture, ...]] = {
    Run.Kind.PRETRAIN: (
        Picture("Loss", {"loss": "training", "validation_loss": "validation"}),
        Picture("Perplexity", {"perplexity": "validation"}),
        LEARNING_RATE,
        GRADIENT,
        Picture("Tokens per second", {"tokens_per_second": ""}),
    ),
    Run.Kind.TRAIN_REWARD: (
        Picture("Loss", {"loss": "training", "heldout/loss": "held out"}),
        Picture("Accuracy", {"accuracy": "training", "heldout/accuracy": "held out"}, ("guessing", 0.5)),
        Picture("Margin", {"margin": "training"}),
        LEARNING_RATE,
        GRADIENT,
    ),
    Run.Kind.FINETUNE: (
        Picture("Score by the reward model", {"score": "training", "heldout/reward": "held out"}),
        WINS,
        GOLD,
        KL,
        DISAGREEMENT,
        Picture("Entropy, nats per token", {"entropy": ""}),
        Picture(
            "Completion length, tokens", {"completions/mean_length": "training", "heldout/length": "held out"}
        ),
        LEARNING_RATE,
        Picture("Price of the KL", {"kl_coefficient": ""}),
        GRADIENT,
    ),
    Run.Kind.DPO: (
        Picture("Loss", {"loss": "training"}),
        Picture("Accuracy on comparisons", {"accuracy": "training", "heldout/accuracy": "kept back"}),
        HELD_OUT_REWARD,
        WINS,
        GOLD,
        KL,
        DISAGREEMENT,
        Picture(
            "Log-probability of completions", {"logprob/chosen": "chosen", "logprob/rejected": "rejected"}
        ),
        LENGTH,
        LEARNING_RATE,
        GRADIENT,
    ),
    Run.Kind.SUPERVISED: (
        Picture("Loss, nats per token", {"loss": "training"}),
        Picture("Likelihood of demonstrations", {"heldout/likelihood": "kept back"}),
        HELD_OUT_REWARD,
        WINS,
        GOLD,
        KL,
        DISAGREEMENT,
        LENGTH,
        LEARNING_RATE,
        GRADIENT,
    ),
}  # fmt: skip
"""What is drawn for a kind of run, in this order."""

STEADY = frozenset({"learning_rate", "kl_coefficient"})
"""Figures of each step that are set, not measured; those of evaluations are means over many prompts already.
All others are noisy."""


def drawn(run: Run) -> Drawn:
    """The charts of a run that have something to show."""
    pictures = PICTURES.get(run.kind, ())
    rows, every = read(run) if pictures else ([], 1)
    names = [name for picture in pictures for name in picture.metrics]
    series: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    for step, values in rows:
        for name in values.keys() & series.keys():
            if values[name] is not None:
                series[name].append((step, values[name]))
    charts = [
        Chart(
            picture.title,
            [
                Curve(label, series[name], is_noisy=is_noisy(name))
                for name, label in picture.metrics.items()
                if series[name]
            ],
            level_of(picture, run),
        )
        for picture in pictures
        if any(series[name] for name in picture.metrics)
    ]
    return Drawn(charts, every)


def is_noisy(name: str) -> bool:
    """Whether a figure jumps from step to step, so that its mean says more."""
    return not (
        name.startswith("heldout/") or name in EVALUATION_METRICS or name in STEADY or name == "perplexity"
    )


def level_of(picture: Picture, run: Run) -> Level | None:
    """What a chart of this run is read against; a parameter of 0 or none is no limit."""
    if picture.level is None:
        return None
    name, given = picture.level
    value = run.parameters.get(given) if isinstance(given, str) else given
    return Level(name, float(value)) if value else None


def read(run: Run) -> tuple[Iterable[Row], int]:
    """The rows to draw, by step, and one of how many they are: all (1) where there are few."""
    by_step = run.points.order_by("step")
    evaluated = by_step.filter(values__has_any_keys=list(EVALUATION_METRICS))
    ends = by_step[:1].union(by_step.reverse()[:1], evaluated)
    steps = sorted(ends.values_list("step", flat=True))
    if not steps:
        return [], 1
    first, last = steps[0], steps[-1]
    every = stride(last - first + 1)
    if every > 1:
        # Every step has a row, so the wanted ones can be named; the last evaluation is the last or the one
        # before it in the list.
        regular = range(first + -first % every, last, every)
        wanted = {first, last, steps[-2], *regular, *spread(steps, every)}
        by_step = by_step.filter(step__in=wanted)
    return by_step.values_list("step", "values"), every


def stride(count: int) -> int:
    """The smallest power of two that leaves at most `MOST_ROWS` of so many steps."""
    every = 1
    while count > every * MOST_ROWS:
        every *= 2
    return every


def spread(steps: Iterable[int], every: int) -> Iterable[int]:
    """The first step in each stretch of `every`."""
    return {step // every: step for step in sorted(steps, reverse=True)}.values()
