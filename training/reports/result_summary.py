"""The key result of a run, short enough for a list."""

from training.models import Run
from training.reports.number_format import format_number
from training.reports.tuning_report import RATE, format_metric

METRICS = (
    ("gold_accuracy", "gold accuracy", RATE),
    ("accuracy", "accuracy", RATE),
    ("perplexity", "perplexity", ""),
    ("tasks", "tasks", ""),
)
WIN_RATES = ("gold_win_rate", "win_rate")


def key_result(run: Run) -> str:
    """The most important metric of this kind of run, with its name; empty if there is none yet."""
    if run.metrics.get("tuning"):
        rows = {row["measure"]: row for row in run.metrics["tuning"]["changes"]}
        win_rate = next((rows[name]["after"] for name in WIN_RATES if name in rows), None)
        return "" if win_rate is None else f"win rate {format_metric(win_rate, RATE)}"
    order = METRICS if run.kind != Run.Kind.PRETRAIN else METRICS[2:]
    for name, label, unit in order:
        value = run.metrics.get(name)
        if isinstance(value, int | float):
            return f"{label} {format_metric(value, RATE) if unit == RATE else format_number(value)}"
    return ""
