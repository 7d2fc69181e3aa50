"""What a tuning of a policy changed, and why it ended, as people read it: a part of a page, lines in a
terminal."""

from dataclasses import dataclass
from typing import Any

from training.models import Run

RATE, PLAIN = "rate", "plain"

MEASURES = (
    ("gold", "Gold score", PLAIN, "by the scorer that nothing was tuned to please"),
    ("gold_win_rate", "Gold win rate", RATE, "over the policy before"),
    ("reward", "Reward", PLAIN, "by the reward model"),
    ("win_rate", "Win rate", RATE, "over the policy before, by the reward model"),
    ("disagreement", "Disagreement", PLAIN, "between the reward models of the ensemble"),
    ("preference", "Likelihood of choices", PLAIN, "log-probability of what people chose, kept back"),
    ("accuracy", "Accuracy", RATE, "on comparisons kept back"),
    ("likelihood", "Likelihood of demonstrations", PLAIN, "log-probability of a token, kept back"),
    ("kl", "KL", PLAIN, "to the policy before, nats a sequence"),
    ("length", "Length", PLAIN, "tokens"),
    ("repetition", "Repetition", RATE, "words said before in the completion"),
    ("ended", "Ended", RATE, "came to an end of their own"),
)
"""The measures in the order in which they are shown: key, name, how it is written, what it means."""

BUDGETS = {
    "steps": "It made all the steps that it was given",
    "minutes": "Its time was up",
    "diverged": "The loss or its gradient became infinite",
}
"""Why a tuning ended, where no sign on held-out prompts ended it."""


@dataclass(frozen=True)
class Change:
    """One measure before and after."""

    name: str
    meaning: str
    before: str
    after: str
    range: str
    is_clear: bool
    decided: bool

    @classmethod
    def of(cls, row: dict[str, Any], *, chosen_by: str) -> "Change | None":
        """From a run's metrics; None for what has no name here."""
        known = {key: rest for key, *rest in MEASURES}
        if row["measure"] not in known or row["before"] is None or row["after"] is None:
            return None
        name, how, meaning = known[row["measure"]]
        low, high = row["low"], row["high"]
        return cls(
            name=name,
            meaning=meaning,
            before=written(row["before"], how),
            after=written(row["after"], how),
            range="" if low is None or high is None else f"{signed(low, how)} to {signed(high, how)}",
            is_clear=low is not None and high is not None and not low <= 0 <= high,
            decided=row["measure"] == chosen_by,
        )


@dataclass(frozen=True)
class TuningReport:
    """Why it ended, what was kept, and what is different now."""

    ended: str
    is_warning: bool
    kept: str
    prompts: int
    changes: list[Change]


def written(value: float, how: str) -> str:
    """A share in percent, any other figure with two decimals or three digits."""
    if how == RATE:
        return f"{value:.0%}"
    # No minus before a zero.
    text = f"{value:.2f}".replace("-0.00", "0.00") if abs(value) < 100 else f"{value:.0f}"
    return text.replace("-", "−")


def signed(value: float, how: str) -> str:
    """The same with its sign, for a change."""
    text = written(abs(value), how)
    if text in {"0%", "0.00"}:
        return text
    return f"−{text}" if value < 0 else f"+{text}"


def tuning_report(run: Run) -> TuningReport | None:
    """The report of a tuning that is done; None for anything else."""
    found = run.metrics.get("tuning")
    if not found:
        return None
    stopped, steps, best = (run.metrics[name] for name in ("stopped", "steps", "best_step"))
    order = [key for key, *_ in MEASURES]
    rows = sorted(
        (row for row in found["changes"] if row["measure"] in order),
        key=lambda row: order.index(row["measure"]),
    )
    changes = [Change.of(row, chosen_by=found["chosen_by"]) for row in rows]
    return TuningReport(
        ended=why(stopped, steps=steps),
        is_warning=stopped not in {"steps", "minutes"},
        kept=what_was_kept(best, steps=steps),
        prompts=found["prompts"],
        changes=[change for change in changes if change is not None],
    )


def why(stopped: str, *, steps: int) -> str:
    """Why it ended, in a sentence."""
    reason = BUDGETS.get(stopped, stopped[:1].upper() + stopped[1:])
    return f"{reason}: {steps} of them." if stopped == "steps" else f"{reason}, after {steps} steps."


def what_was_kept(best: int, *, steps: int) -> str:
    """Which version is the one that was made, in a sentence."""
    if best == 0:
        return "No version was better, so the policy is as it was before."
    if best == steps:
        return f"The last version, of step {best}, was the best and was kept."
    return f"The policy was rolled back to its best version, of step {best}."


def lines(run: Run) -> list[str]:
    """The same for a terminal."""
    report = tuning_report(run)
    if report is None:
        return []
    table = [
        f"  {change.name:<30} {change.before:>8} -> {change.after:>8}   {change.range}"
        for change in report.changes
    ]
    return [f"  {report.ended}", f"  {report.kept}", *table]
