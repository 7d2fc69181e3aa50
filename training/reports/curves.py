"""The charts of a run: which metrics are drawn for its kind, and the rows that they are drawn from.

A long run has more rows than a chart has pixels, and its page should be as fast as others. So rows are read
at steps a power of two apart, which stay the same while the run continues, and the last row. Evaluations are
few rows with an index of their own, and are thinned separately in the same way.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from training.models import Run
from training.models.records import EVALUATION_METRICS
from training.reports.charts import Chart, Curve, ReferenceLine

MAX_ROWS = 500
"""Rows read for a page: of training steps, and as many of evaluations."""

Row = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class RunCharts:
    """The charts of a run; one in `stride` rows was read for them."""

    charts: list[Chart]
    stride: int


@dataclass(frozen=True)
class ChartSpec:
    """What one chart shows: metrics with their labels; for a reference line its label, and a number or a
    parameter."""

    title: str
    metrics: dict[str, str]
    reference: tuple[str, str | float] | None = None


LEARNING_RATE = ChartSpec("Learning rate", {"learning_rate": ""})
GRADIENT = ChartSpec("Gradient norm", {"gradient_norm": ""})
WINS = ChartSpec(
    "Win rate over the reference",
    {"heldout/win_rate": "reward", "heldout/gold_win_rate": "gold"},
    ("even", 0.5),
)
KL = ChartSpec(
    "KL, nats per sequence", {"kl": "training", "heldout/kl": "held out"}, ("budget", "kl_budget")
)  # fmt: skip
HELD_OUT_REWARD = ChartSpec("Reward", {"heldout/reward": "held out"})
GOLD = ChartSpec("Gold score", {"heldout/gold": "held out"})
DISAGREEMENT = ChartSpec("Ensemble disagreement", {"heldout/disagreement": "held out"})
LENGTH = ChartSpec("Completion length, tokens", {"heldout/length": "held out"})

CHART_SPECS: dict[str, tuple[ChartSpec, ...]] = {
    Run.Kind.PRETRAIN: (
        ChartSpec("Loss", {"loss": "training", "validation_loss": "validation"}),
        ChartSpec("Perplexity", {"perplexity": "validation"}),
        LEARNING_RATE,
        GRADIENT,
        ChartSpec("Tokens per second", {"tokens_per_second": ""}),
    ),
    Run.Kind.TRAIN_REWARD: (
        ChartSpec("Loss", {"loss": "training", "heldout/loss": "held out"}),
        ChartSpec("Accuracy", {"accuracy": "training", "heldout/accuracy": "held out"}, ("chance", 0.5)),
        ChartSpec("Margin", {"margin": "training"}),
        LEARNING_RATE,
        GRADIENT,
    ),
    Run.Kind.FINETUNE: (
        ChartSpec("Reward", {"score": "training", "heldout/reward": "held out"}),
        WINS,
        GOLD,
        KL,
        DISAGREEMENT,
        ChartSpec("Entropy, nats per token", {"entropy": ""}),
        ChartSpec(
            "Completion length, tokens", {"completions/mean_length": "training", "heldout/length": "held out"}
        ),
        LEARNING_RATE,
        ChartSpec("KL coefficient", {"kl_coefficient": ""}),
        GRADIENT,
    ),
    Run.Kind.DPO: (
        ChartSpec("Loss", {"loss": "training"}),
        ChartSpec("Accuracy on comparisons", {"accuracy": "training", "heldout/accuracy": "held out"}),
        HELD_OUT_REWARD,
        WINS,
        GOLD,
        KL,
        DISAGREEMENT,
        ChartSpec(
            "Log-probability of completions", {"logprob/chosen": "chosen", "logprob/rejected": "rejected"}
        ),
        LENGTH,
        LEARNING_RATE,
        GRADIENT,
    ),
    Run.Kind.SUPERVISED: (
        ChartSpec("Loss, nats per token", {"loss": "training"}),
        ChartSpec("Likelihood of demonstrations", {"heldout/likelihood": "held out"}),
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
"""The charts of each kind of run, in order."""

NOISELESS_METRICS = frozenset({"learning_rate", "kl_coefficient"})
"""Metrics of each step that are set, not measured. Those of evaluations are means over many prompts already;
all others are noisy."""


def run_charts(run: Run) -> RunCharts:
    """The charts of a run that have data."""
    specs = CHART_SPECS.get(run.kind, ())
    rows, stride = read_points(run) if specs else ([], 1)
    names = [name for spec in specs for name in spec.metrics]
    series: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    for step, values in rows:
        for name in values.keys() & series.keys():
            if values[name] is not None:
                series[name].append((step, values[name]))
    charts = [
        Chart(
            spec.title,
            [
                Curve(label, series[name], is_noisy=is_noisy(name))
                for name, label in spec.metrics.items()
                if series[name]
            ],
            reference_line(spec, run),
        )
        for spec in specs
        if any(series[name] for name in spec.metrics)
    ]
    return RunCharts(charts, stride)


def is_noisy(name: str) -> bool:
    """Whether a metric jumps from step to step, so that its running mean is clearer."""
    return not (
        name.startswith("heldout/")
        or name in EVALUATION_METRICS
        or name in NOISELESS_METRICS
        or name == "perplexity"
    )


def reference_line(spec: ChartSpec, run: Run) -> ReferenceLine | None:
    """The reference line of a chart; a parameter that is 0 or not set draws none."""
    if spec.reference is None:
        return None
    name, given = spec.reference
    value = run.parameters.get(given) if isinstance(given, str) else given
    return ReferenceLine(name, float(value)) if value else None


def read_points(run: Run) -> tuple[Iterable[Row], int]:
    """The rows to draw, by step, and the stride between them: 1 if all are read."""
    by_step = run.points.order_by("step")
    evaluated = by_step.filter(values__has_any_keys=list(EVALUATION_METRICS))
    ends = by_step[:1].union(by_step.reverse()[:1], evaluated)
    steps = sorted(ends.values_list("step", flat=True))
    if not steps:
        return [], 1
    first, last = steps[0], steps[-1]
    stride = row_stride(last - first + 1)
    if stride > 1:
        # Every step has a row, so the wanted ones can be listed; the last evaluation is the last or the one
        # before it in the list.
        regular = range(first + -first % stride, last, stride)
        wanted = {first, last, steps[-2], *regular, *thin_steps(steps, stride)}
        by_step = by_step.filter(step__in=wanted)
    return by_step.values_list("step", "values"), stride


def row_stride(count: int) -> int:
    """The smallest power of two that leaves at most `MAX_ROWS` of `count` steps."""
    stride = 1
    while count > stride * MAX_ROWS:
        stride *= 2
    return stride


def thin_steps(steps: Iterable[int], stride: int) -> Iterable[int]:
    """The first of the steps in each window of `stride` steps."""
    return {step // stride: step for step in sorted(steps, reverse=True)}.values()
