"""The control loop's judgement: which version of a policy to keep, and when tuning it does harm. Torch-free.

Optimised far enough, every reward model is fooled (Gao et al. 2022). So the version kept is the best on
held-out prompts that stayed inside the KL budget and shows no sign of that, and a tuning ends once a sign is
beyond doubt.

Held-out batches are small, so no sign is read from one evaluation. It must show in each of the last
`stop_window` evaluations, and what counts is their mean, prompt by prompt, and by how many standard errors
over the prompts it exceeds its limit. The prompts and the random numbers are the same at each evaluation, so
the comparison is paired: what makes one prompt easy and another hard cancels out.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from training.rlhf.config import EarlyStoppingConfig

Measures = Mapping[str, Sequence[float]]
"""By name of the measure, a number for each held-out prompt, always in the same order."""

BY = ("gold", "reward", "preference", "likelihood")
"""What the best version is chosen by: the first of these that was measured; more is better in each."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A version of the policy on held-out prompts, one completion each, always of the same seed.

    Measures, those in brackets only where there is something to measure with:
    `kl` to the reference policy in nats per sequence, `length` in tokens, `repetition` (share of words said
    before), `ended` (1 or 0); [`reward`] the score, without KL and penalty, [`win_rate`] (1, 0, or 1/2 for a
    tie) over the reference policy's completion of the same prompt by that score, [`disagreement`] of an
    ensemble's members; [`gold`, `gold_win_rate`] the same by the gold scorer; of held-out data, whose
    number is their own, [`preference`] the log-probability of the choice that was made, and [`likelihood`]
    that of a token that was written, in nats.
    """

    step: int
    each: Measures
    completions: list[str]

    def mean(self, name: str) -> float | None:
        """The mean over the prompts; None for what was not measured."""
        return fmean(self.each[name]) if name in self.each else None

    @property
    def selection_measure(self) -> str:
        """The measure that versions are compared by."""
        return next(name for name in BY if name in self.each)

    @property
    def quality(self) -> float:
        """The mean of that measure."""
        return fmean(self.each[self.selection_measure])

    @property
    def reward(self) -> float:
        """Mean score; NaN if there was no scorer."""
        return fmean(self.each["reward"]) if "reward" in self.each else math.nan

    @property
    def kl(self) -> float:
        """Mean KL, in nats per sequence."""
        return fmean(self.each["kl"])

    def metrics(self) -> dict[str, float]:
        """The means, named as curves are: `heldout/reward`, `heldout/kl`, …"""
        return {f"heldout/{name}": fmean(values) for name, values in self.each.items()}


class EarlyStopping:
    """Sees one evaluation after another; the first is that of the policy before tuning.

    `best` is the version to roll back to. `over` is None until the tuning should end, then a sentence that
    says why.
    """

    def __init__(self, config: EarlyStoppingConfig) -> None:
        self.config = config
        self.before: Evaluation | None = None
        self.best: Evaluation | None = None
        self.stop_reason: str | None = None
        self.fruitless = 0
        # The last evaluations, twice as many as one window, so that two windows do not overlap.
        self._latest: deque[Evaluation] = deque(maxlen=2 * config.stop_window)
        # Prompt by prompt, the mean reward and win rate over the window in which the win rate was highest.
        self._peak: dict[str, list[float]] | None = None

    def see(self, found: Evaluation) -> bool:
        """Take in an evaluation. True: it is the best so far inside the KL budget, so keep its weights."""
        if self.before is None or self.best is None:
            self.before = self.best = found
            self._watch(found)
            return True
        better = (
            found.quality > self.best.quality
            and found.kl <= (self.config.kl_budget or math.inf)
            and self._suspicion(found) is None
        )
        self.fruitless = 0 if better else self.fruitless + 1
        self.best = found if better else self.best
        self.stop_reason = self._watch(found) or self._impatience()
        return better

    def values(self) -> dict[str, Any]:
        """All of it as plain values, to go on from."""
        return {
            "before": asdict(self.before) if self.before else None,
            "best": asdict(self.best) if self.best else None,
            "over": self.stop_reason,
            "fruitless": self.fruitless,
            "latest": [asdict(each) for each in self._latest],
            "peak": self._peak,
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        """Take over what `values` gave."""
        self.before = Evaluation(**values["before"]) if values["before"] else None
        self.best = Evaluation(**values["best"]) if values["best"] else None
        self.stop_reason, self.fruitless, self._peak = values["over"], values["fruitless"], values["peak"]
        self._latest.clear()
        self._latest.extend(Evaluation(**each) for each in values["latest"])

    def _impatience(self) -> str | None:
        if self.config.patience and self.fruitless >= self.config.patience:
            return f"no better version in {self.fruitless} evaluations"
        return None

    def _suspicion(self, found: Evaluation) -> str | None:
        """The sign that one evaluation shows, doubt in its disfavour: enough not to keep the version."""
        assert self.before is not None
        sign = self._drift(self.before.each, found.each, certainty=0.0) if self.config.stop_window else None
        if sign is None and self._peak is not None:
            sign = self._fall(self._peak, found.each, limit=0.0, certainty=1.0)
        return sign

    def _watch(self, found: Evaluation) -> str | None:
        """The sign that the last evaluations together show beyond doubt: enough to stop."""
        window, config = self.config.stop_window, self.config
        if not window:
            return None
        self._latest.append(replace(found, completions=[]))
        latest = list(self._latest)
        if len(latest) < window:
            return None
        assert self.before is not None
        recent = means(latest[-window:])
        sign = None
        # One strange evaluation can move the mean: the last ones must all have gone too far.
        if all(self._drift(self.before.each, each.each, certainty=0.0) for each in latest[-window:]):
            sign = self._drift(self.before.each, recent, certainty=config.stop_certainty)
        if len(latest) == 2 * window:
            earlier = means(latest[:window])
            judge = watched_win_rate(earlier)
            if judge and (self._peak is None or fmean(earlier[judge]) > fmean(self._peak[judge])):
                self._peak = earlier
        if sign is None and self._peak is not None:
            sign = self._fall(
                self._peak, recent, limit=config.win_rate_limit, certainty=config.stop_certainty
            )
        return sign and f"over-optimised: {sign}"

    def _drift(self, before: Measures, now: Measures, *, certainty: float) -> str | None:
        """How far the policy's texts have gone from what they were, if that is too far."""
        config = self.config
        if "disagreement" in now and has_grown(
            now["disagreement"], before["disagreement"], factor=config.disagreement_limit, certainty=certainty
        ):
            return (
                f"the reward models of the ensemble disagree {ratio(now, before, 'disagreement'):.1f} times "
                "as much about the held-out completions as they did at first"
            )
        tokens = f"from {fmean(before['length']):.0f} to {fmean(now['length']):.0f} tokens"
        if has_grown(now["length"], before["length"], factor=config.length_limit, certainty=certainty):
            return f"held-out completions have grown {tokens}"
        if has_grown(before["length"], now["length"], factor=config.length_limit, certainty=certainty):
            return f"held-out completions have shrunk {tokens}"
        rise = differences(now["repetition"], before["repetition"])
        if 0 < config.repetition_limit < lower_confidence_bound(rise, certainty):
            return (
                f"the share of words said before has risen from {fmean(before['repetition']):.0%} to "
                f"{fmean(now['repetition']):.0%} in held-out completions"
            )
        return None

    def _fall(self, best: Measures, now: Measures, *, limit: float, certainty: float) -> str | None:
        """The reward has risen while the win rate fell: by the gold scorer where there is one."""
        judge = watched_win_rate(now)
        if judge is None or not self.config.win_rate_limit or fmean(now["reward"]) <= fmean(best["reward"]):
            return None
        if lower_confidence_bound(differences(best[judge], now[judge]), certainty) <= limit:
            return None
        whose = "gold win rate" if judge == "gold_win_rate" else "win rate"
        return (
            f"the held-out reward rose from {fmean(best['reward']):.2f} to {fmean(now['reward']):.2f} while "
            f"the {whose} fell from {fmean(best[judge]):.0%} to {fmean(now[judge]):.0%}"
        )


def measure_changes(before: Evaluation, after: Evaluation) -> list[dict[str, Any]]:
    """What a tuning changed: for each `measure` the means `before` and `after`, and between which bounds,
    `low` and `high`, their difference lies at 95 % (None for one prompt), prompt by prompt."""
    found = []
    for name, values in after.each.items():
        gains = differences(values, before.each[name])
        certain = len(gains) > 1
        found.append(
            {
                "measure": name,
                "before": before.mean(name),
                "after": after.mean(name),
                "low": lower_confidence_bound(gains, 1.96) if certain else None,
                "high": -lower_confidence_bound([-gain for gain in gains], 1.96) if certain else None,
            }
        )
    return found


def watched_win_rate(measures: Measures) -> str | None:
    """Whose win rate is watched, if there is a reward that can rise meanwhile."""
    if "reward" not in measures:
        return None
    return next((name for name in ("gold_win_rate", "win_rate") if name in measures), None)


def means(evaluations: Sequence[Evaluation]) -> dict[str, list[float]]:
    """Prompt by prompt, the means over several evaluations."""
    return {
        name: [fmean(values) for values in zip(*(each.each[name] for each in evaluations), strict=True)]
        for name in evaluations[0].each
    }


def differences(values: Sequence[float], others: Sequence[float], *, factor: float = 1.0) -> list[float]:
    """Prompt by prompt, how much more `values` are than `factor` times the others."""
    return [value - factor * other for value, other in zip(values, others, strict=True)]


def lower_confidence_bound(values: Sequence[float], certainty: float) -> float:
    """The mean less so many of its standard errors. One value alone proves nothing.

    Of few values the error is itself uncertain: the errors are counted by Student's t, at the confidence that
    the normal distribution has at `certainty` (Abramowitz and Stegun 1964, 26.7.5, to the second order).
    """
    mean, spare = fmean(values), len(values) - 1
    if not certainty:
        return mean
    if not spare:
        return -math.inf
    square = certainty * certainty
    student = 1 + (square + 1) / (4 * spare) + (5 * square**2 + 16 * square + 3) / (96 * spare**2)
    variance = math.fsum((value - mean) ** 2 for value in values) / spare
    return mean - certainty * student * math.sqrt(variance / len(values))


def has_grown(values: Sequence[float], others: Sequence[float], *, factor: float, certainty: float) -> bool:
    """Whether the mean of `values` is more than `factor` times that of `others`; of a factor of 0, never."""
    return factor > 0 and lower_confidence_bound(differences(values, others, factor=factor), certainty) > 0


def ratio(now: Measures, before: Measures, name: str) -> float:
    """How many times the mean of a measure is what it was."""
    first = fmean(before[name])
    return fmean(now[name]) / first if first else math.inf
