"""The report of a tuning: its stop reason, the checkpoint that was kept, and metrics before and after."""

from dataclasses import dataclass
from typing import Any

from training.models import Run

RATE, PLAIN = "rate", "plain"

METRICS = (
    ("gold", "Gold score", PLAIN, "by a scorer that is not trained on"),
    ("gold_win_rate", "Gold win rate", RATE, "over the reference policy"),
    ("reward", "Reward", PLAIN, "by the reward model"),
    ("win_rate", "Win rate", RATE, "over the reference policy, by the reward model"),
    ("disagreement", "Disagreement", PLAIN, "among the members of the ensemble"),
    ("preference", "Chosen log-probability", PLAIN, "of held-out chosen completions"),
    ("accuracy", "Accuracy", RATE, "on held-out comparisons"),
    ("likelihood", "Demonstration log-probability", PLAIN, "per token, held out"),
    ("kl", "KL", PLAIN, "to the reference policy, nats per sequence"),
    ("length", "Length", PLAIN, "tokens"),
    ("repetition", "Repetition", RATE, "share of words that repeat an earlier one"),
    ("ended", "Finished", RATE, "completions that end with EOS"),
)
"""Metrics in their order on the page: key, name, unit, meaning."""

STOP_REASONS = {
    "steps": "Step limit reached",
    "minutes": "Time limit reached",
    "diverged": "Diverged: the loss or its gradient became infinite",
}
"""Stop reasons other than early stopping, whose sentence the run stores."""


@dataclass(frozen=True)
class Change:
    """One metric before and after."""

    name: str
    meaning: str
    before: str
    after: str
    range: str
    is_clear: bool
    is_selection_metric: bool

    @classmethod
    def from_row(cls, row: dict[str, Any], *, selected_by: str) -> "Change | None":
        """From a run's metrics; None for a metric without a name here."""
        known = {key: rest for key, *rest in METRICS}
        if row["measure"] not in known or row["before"] is None or row["after"] is None:
            return None
        name, unit, meaning = known[row["measure"]]
        low, high = row["low"], row["high"]
        return cls(
            name=name,
            meaning=meaning,
            before=format_metric(row["before"], unit),
            after=format_metric(row["after"], unit),
            range=""
            if low is None or high is None
            else f"{format_change(low, unit)} to {format_change(high, unit)}",
            is_clear=low is not None and high is not None and not low <= 0 <= high,
            is_selection_metric=row["measure"] == selected_by,
        )


@dataclass(frozen=True)
class TuningReport:
    """Why it stopped, what was kept, and what changed."""

    stop_reason: str
    is_warning: bool
    kept: str
    prompts: int
    changes: list[Change]


def format_metric(value: float, unit: str) -> str:
    """A rate in percent, other metrics with two decimals or three digits."""
    if unit == RATE:
        return f"{value:.0%}"
    # No minus sign before zero.
    text = f"{value:.2f}".replace("-0.00", "0.00") if abs(value) < 100 else f"{value:.0f}"
    return text.replace("-", "−")


def format_change(value: float, unit: str) -> str:
    """A change, with its sign."""
    text = format_metric(abs(value), unit)
    if text in {"0%", "0.00"}:
        return text
    return f"−{text}" if value < 0 else f"+{text}"


def tuning_report(run: Run) -> TuningReport | None:
    """The report of a finished tuning; None for other runs."""
    found = run.metrics.get("tuning")
    if not found:
        return None
    stopped, steps, best = (run.metrics[name] for name in ("stopped", "steps", "best_step"))
    order = [key for key, *_ in METRICS]
    rows = sorted(
        (row for row in found["changes"] if row["measure"] in order),
        key=lambda row: order.index(row["measure"]),
    )
    changes = [Change.from_row(row, selected_by=found["chosen_by"]) for row in rows]
    return TuningReport(
        stop_reason=stop_sentence(stopped, steps=steps),
        is_warning=stopped not in {"steps", "minutes"},
        kept=kept_sentence(best, steps=steps),
        prompts=found["prompts"],
        changes=[change for change in changes if change is not None],
    )


def stop_sentence(stopped: str, *, steps: int) -> str:
    """Why it stopped, in a sentence."""
    reason = STOP_REASONS.get(stopped, stopped[:1].upper() + stopped[1:])
    return f"{reason}: {steps} steps." if stopped == "steps" else f"{reason}, after {steps} steps."


def kept_sentence(best: int, *, steps: int) -> str:
    """Which checkpoint became the new version, in a sentence."""
    if best == 0:
        return "No checkpoint was better than the initial policy, which is kept."
    if best == steps:
        return f"The last checkpoint, of step {best}, was the best and is kept."
    return f"Rolled back to the best checkpoint, of step {best}."


def terminal_lines(run: Run) -> list[str]:
    """The report for a terminal."""
    report = tuning_report(run)
    if report is None:
        return []
    table = [
        f"  {change.name:<30} {change.before:>8} -> {change.after:>8}   {change.range}"
        for change in report.changes
    ]
    return [f"  {report.stop_reason}", f"  {report.kept}", *table]
