"""What came of a run, in the few words that a list has room for."""

from training.models import Run
from training.reports.charts import number
from training.reports.tuning_report import RATE, written

SINGLE = (
    ("gold_accuracy", "gold accuracy", RATE),
    ("accuracy", "accuracy", RATE),
    ("perplexity", "perplexity", ""),
    ("tasks", "tasks", ""),
)
WINS = ("gold_win_rate", "win_rate")


def result(run: Run) -> str:
    """The figure that people look for in this kind of run, with its name; empty where there is none yet."""
    if run.metrics.get("tuning"):
        rows = {row["measure"]: row for row in run.metrics["tuning"]["changes"]}
        won = next((rows[name]["after"] for name in WINS if name in rows), None)
        return "" if won is None else f"wins {written(won, RATE)}"
    order = SINGLE if run.kind != Run.Kind.PRETRAIN else SINGLE[2:]
    for name, words, how in order:
        value = run.metrics.get(name)
        if isinstance(value, int | float):
            return f"{words} {written(value, RATE) if how == RATE else number(value)}"
    return ""
