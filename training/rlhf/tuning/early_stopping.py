"""Early stopping: which checkpoint to keep, and when a tuning over-optimises its reward. Torch-free.

Optimised far enough, every reward model is exploited (Gao et al. 2022). So the checkpoint kept is the best on
held-out prompts that is inside the KL budget and shows no sign of over-optimisation, and a tuning stops once
a sign is significant.

Held-out batches are small, so a single evaluation is not enough. A sign must show in each of the last
`stop_window` evaluations; their mean, prompt by prompt, is compared with the limit in standard errors over
the prompts. Prompts and random numbers are the same in each evaluation, so the comparison is paired.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from training.rlhf.config import EarlyStoppingConfig

Measures = Mapping[str, Sequence[float]]
"""By name of the measure, a number for each held-out prompt, always in the same order."""

SELECTION_MEASURES = ("gold", "reward", "preference", "likelihood")
"""The best checkpoint has the highest mean of the first of these that was measured."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """One evaluation on held-out prompts: one completion each, always with the same seed.

    Measures `per_prompt`, in brackets those that are not always there:
    `kl` to the reference policy in nats per sequence, `length` in tokens, `repetition` (fraction of repeated
    words), `ended` (1 or 0); [`reward`] without KL and penalty, [`win_rate`] (1, 0, or 1/2 for a tie) against
    the reference policy's completion of the same prompt by that reward, [`disagreement`] of the ensemble
    members; [`gold`, `gold_win_rate`] the same by the gold scorer; on held-out data, with one entry per
    example, [`preference`], the log-probability of the preferred choice, and [`likelihood`], that of a
    demonstration's token, in nats.
    """

    step: int
    per_prompt: Measures
    completions: list[str]

    def mean(self, name: str) -> float | None:
        """The mean over the prompts; None if it was not measured."""
        return fmean(self.per_prompt[name]) if name in self.per_prompt else None

    @property
    def selection_measure(self) -> str:
        """The measure that checkpoints are compared by."""
        return next(name for name in SELECTION_MEASURES if name in self.per_prompt)

    @property
    def quality(self) -> float:
        """The mean of the selection measure."""
        return fmean(self.per_prompt[self.selection_measure])

    @property
    def reward(self) -> float:
        """Mean reward; NaN without a scorer."""
        return fmean(self.per_prompt["reward"]) if "reward" in self.per_prompt else math.nan

    @property
    def kl(self) -> float:
        """Mean KL, in nats per sequence."""
        return fmean(self.per_prompt["kl"])

    def metrics(self) -> dict[str, float]:
        """The means by the names of the curves: `heldout/reward`, `heldout/kl`, …"""
        return {f"heldout/{name}": fmean(values) for name, values in self.per_prompt.items()}

    def values(self) -> dict[str, Any]:
        """Plain values, as they are stored."""
        each = {name: list(values) for name, values in self.per_prompt.items()}
        return {"step": self.step, "each": each, "completions": self.completions}

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> "Evaluation":
        """The evaluation that `values` were stored of."""
        return cls(step=values["step"], per_prompt=values["each"], completions=values["completions"])


class EarlyStopping:
    """Takes one evaluation after another; the first is that of the policy before tuning.

    `best` is the checkpoint to roll back to. `stop_reason` is None until the tuning should stop, then a
    sentence.
    """

    def __init__(self, config: EarlyStoppingConfig) -> None:
        self.config = config
        self.before: Evaluation | None = None
        self.best: Evaluation | None = None
        self.stop_reason: str | None = None
        self.evaluations_since_best = 0
        # The last evaluations, twice as many as one window, so that two windows do not overlap.
        self._latest: deque[Evaluation] = deque(maxlen=2 * config.stop_window)
        # Per prompt, the mean reward and win rate over the window in which the win rate was highest.
        self._peak: dict[str, list[float]] | None = None

    def update(self, evaluation: Evaluation) -> bool:
        """Take in an evaluation. True if it is the best so far inside the KL budget: keep its weights."""
        if self.before is None or self.best is None:
            self.before = self.best = evaluation
            self._significant_sign(evaluation)
            return True
        is_better = (
            evaluation.quality > self.best.quality
            and evaluation.kl <= (self.config.kl_budget or math.inf)
            and self._warning_sign(evaluation) is None
        )
        self.evaluations_since_best = 0 if is_better else self.evaluations_since_best + 1
        self.best = evaluation if is_better else self.best
        self.stop_reason = self._significant_sign(evaluation) or self._patience_exhausted()
        return is_better

    def values(self) -> dict[str, Any]:
        """The state as plain values, under their stored names."""
        return {
            "before": self.before.values() if self.before else None,
            "best": self.best.values() if self.best else None,
            "over": self.stop_reason,
            "fruitless": self.evaluations_since_best,
            "latest": [each.values() for each in self._latest],
            "peak": self._peak,
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        """Restore what `values` returned."""
        self.before = Evaluation.from_values(values["before"]) if values["before"] else None
        self.best = Evaluation.from_values(values["best"]) if values["best"] else None
        self.stop_reason, self.evaluations_since_best = values["over"], values["fruitless"]
        self._peak = values["peak"]
        self._latest.clear()
        self._latest.extend(Evaluation.from_values(each) for each in values["latest"])

    def _patience_exhausted(self) -> str | None:
        if self.config.patience and self.evaluations_since_best >= self.config.patience:
            return f"no better version in {self.evaluations_since_best} evaluations"
        return None

    def _warning_sign(self, evaluation: Evaluation) -> str | None:
        """A sign in one evaluation, whether or not it is significant: enough not to keep the checkpoint."""
        assert self.before is not None
        sign = None
        if self.config.stop_window:
            sign = self._text_drift(self.before.per_prompt, evaluation.per_prompt, certainty=0.0)
        if sign is None and self._peak is not None:
            sign = self._win_rate_fall(self._peak, evaluation.per_prompt, limit=0.0, certainty=1.0)
        return sign

    def _significant_sign(self, evaluation: Evaluation) -> str | None:
        """A significant sign in the last evaluations together: enough to stop."""
        window, config = self.config.stop_window, self.config
        if not window:
            return None
        self._latest.append(replace(evaluation, completions=[]))
        latest = list(self._latest)
        if len(latest) < window:
            return None
        assert self.before is not None
        before, recent = self.before.per_prompt, mean_per_prompt(latest[-window:])
        sign = None
        # A single outlier can move the mean: each of the last evaluations must exceed the limit.
        if all(self._text_drift(before, each.per_prompt, certainty=0.0) for each in latest[-window:]):
            sign = self._text_drift(before, recent, certainty=config.stop_certainty)
        if len(latest) == 2 * window:
            earlier = mean_per_prompt(latest[:window])
            name = watched_win_rate(earlier)
            if name and (self._peak is None or fmean(earlier[name]) > fmean(self._peak[name])):
                self._peak = earlier
        if sign is None and self._peak is not None:
            sign = self._win_rate_fall(
                self._peak, recent, limit=config.win_rate_limit, certainty=config.stop_certainty
            )
        return sign and f"over-optimised: {sign}"

    def _text_drift(self, before: Measures, now: Measures, *, certainty: float) -> str | None:
        """How the completions changed beyond a limit, if they did."""
        config = self.config
        if "disagreement" in now and has_grown(
            now["disagreement"], before["disagreement"], factor=config.disagreement_limit, certainty=certainty
        ):
            factor = growth_factor(now, before, "disagreement")
            return (
                f"the ensemble members disagree {factor:.1f} times as much about the held-out completions as "
                "at first"
            )
        tokens = f"from {fmean(before['length']):.0f} to {fmean(now['length']):.0f} tokens"
        if has_grown(now["length"], before["length"], factor=config.length_limit, certainty=certainty):
            return f"held-out completions have grown {tokens}"
        if has_grown(before["length"], now["length"], factor=config.length_limit, certainty=certainty):
            return f"held-out completions have shrunk {tokens}"
        rise = paired_differences(now["repetition"], before["repetition"])
        if 0 < config.repetition_limit < lower_confidence_bound(rise, certainty):
            return (
                f"the fraction of repeated words has risen from {fmean(before['repetition']):.0%} to "
                f"{fmean(now['repetition']):.0%} in held-out completions"
            )
        return None

    def _win_rate_fall(self, best: Measures, now: Measures, *, limit: float, certainty: float) -> str | None:
        """Whether the reward rose while the win rate fell, by the gold scorer if there is one."""
        name = watched_win_rate(now)
        if name is None or not self.config.win_rate_limit or fmean(now["reward"]) <= fmean(best["reward"]):
            return None
        if lower_confidence_bound(paired_differences(best[name], now[name]), certainty) <= limit:
            return None
        label = "gold win rate" if name == "gold_win_rate" else "win rate"
        return (
            f"the held-out reward rose from {fmean(best['reward']):.2f} to {fmean(now['reward']):.2f} while "
            f"the {label} fell from {fmean(best[name]):.0%} to {fmean(now[name]):.0%}"
        )


def measure_changes(before: Evaluation, after: Evaluation) -> list[dict[str, Any]]:
    """For each `measure`, its means `before` and `after`, and the 95 % interval of their paired difference,
    `low` and `high` (None for a single prompt)."""
    rows = []
    for name, values in after.per_prompt.items():
        gains = paired_differences(values, before.per_prompt[name])
        has_interval = len(gains) > 1
        rows.append(
            {
                "measure": name,
                "before": before.mean(name),
                "after": after.mean(name),
                "low": lower_confidence_bound(gains, 1.96) if has_interval else None,
                "high": -lower_confidence_bound([-gain for gain in gains], 1.96) if has_interval else None,
            }
        )
    return rows


def watched_win_rate(measures: Measures) -> str | None:
    """The name of the win rate to watch, if there is a reward that may rise meanwhile."""
    if "reward" not in measures:
        return None
    return next((name for name in ("gold_win_rate", "win_rate") if name in measures), None)


def mean_per_prompt(evaluations: Sequence[Evaluation]) -> dict[str, list[float]]:
    """The means over several evaluations, for each prompt."""
    return {
        name: [fmean(values) for values in zip(*(each.per_prompt[name] for each in evaluations), strict=True)]
        for name in evaluations[0].per_prompt
    }


def paired_differences(
    values: Sequence[float], others: Sequence[float], *, factor: float = 1.0
) -> list[float]:
    """For each prompt, its value minus `factor` times the other."""
    return [value - factor * other for value, other in zip(values, others, strict=True)]


def lower_confidence_bound(values: Sequence[float], certainty: float) -> float:
    """The mean minus `certainty` standard errors; minus infinity for a single value.

    For few values, Student's t replaces the normal distribution at the same confidence (Abramowitz and Stegun
    1964, 26.7.5, to the second order).
    """
    mean, degrees = fmean(values), len(values) - 1
    if not certainty:
        return mean
    if not degrees:
        return -math.inf
    square = certainty * certainty
    student = 1 + (square + 1) / (4 * degrees) + (5 * square**2 + 16 * square + 3) / (96 * degrees**2)
    variance = math.fsum((value - mean) ** 2 for value in values) / degrees
    return mean - certainty * student * math.sqrt(variance / len(values))


def has_grown(values: Sequence[float], others: Sequence[float], *, factor: float, certainty: float) -> bool:
    """Whether the mean of `values` is significantly more than `factor` times that of `others`; never for a
    factor of 0."""
    if factor <= 0:
        return False
    return lower_confidence_bound(paired_differences(values, others, factor=factor), certainty) > 0


def growth_factor(now: Measures, before: Measures, name: str) -> float:
    """The mean of a measure now over that before."""
    first = fmean(before[name])
    return fmean(now[name]) / first if first else math.inf
