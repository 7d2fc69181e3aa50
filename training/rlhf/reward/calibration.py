"""Calibration of a reward model: reliability curve, calibration error, temperature. Torch-free.

A reward model predicts that the better of two completions wins with probability sigma(|difference| / T), at
T = 1 as trained. `differences` are r_chosen - r_rejected before normalisation.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from training.rlhf.evaluation.win_rate import wilson_interval, win_points
from training.rlhf.feedback.preferences import Comparison, hash_fraction

MAX_BINS = 10
MIN_BIN_SIZE = 20  # comparisons
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e3
HALVES_SEED = -1  # a seed that no training split uses


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Comparisons of similar confidence: predicted and observed accuracy, with its 95 % interval."""

    predicted: float
    observed: float
    low: float
    high: float
    count: int


def calibration(differences: Sequence[float], comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
    """Calibration metrics; None if there are too few comparisons without ties.

    `temperature` is fitted to the held-out comparisons (Guo et al. 2017): above 1 the model is overconfident,
    below 1 underconfident. `ece_before` and `ece_after` are the expected calibration errors at T = 1 and with
    a temperature. The latter is cross-fitted: measured on each half of the prompts with the temperature of
    the other half. `bins` is the reliability curve at T = 1.
    """
    untied = [
        (gap, pair.split_key) for gap, pair in zip(differences, comparisons, strict=True) if not pair.tie
    ]
    if len(untied) < 2 * MIN_BIN_SIZE:
        return None
    gaps = [gap for gap, _ in untied]
    halves: tuple[list[float], list[float]] = ([], [])
    for gap, key in untied:
        halves[hash_fraction(key, HALVES_SEED) < 0.5].append(gap)
    one, other = halves
    of_one, of_other = fit_temperature(one), fit_temperature(other)
    cooled = [gap / of_other for gap in one] + [gap / of_one for gap in other]
    bins = reliability_curve(gaps)
    return {
        "temperature": fit_temperature(gaps),
        "ece_before": calibration_error(bins),
        "ece_after": calibration_error(reliability_curve(cooled)) if one and other else None,
        "bins": [asdict(each) for each in bins],
    }


def fit_temperature(differences: Sequence[float]) -> float:
    """The T from 0.001 to 1,000 that minimises -mean log sigma(difference / T).

    The loss is convex in 1/T: bisection on the sign of its slope. If all answers are right, or more wrong
    than right, the optimum is 0 or infinity, and the nearest limit is returned.
    """
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE

    def slope(inverse: float) -> float:
        return -math.fsum(gap * sigmoid(-inverse * gap) for gap in differences)

    if slope(high) <= 0:
        return MIN_TEMPERATURE
    if slope(low) > 0:
        return MAX_TEMPERATURE
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def reliability_curve(differences: Sequence[float]) -> list[Bin]:
    """Confidence and accuracy in bins of equal count (Nguyen and O'Connor 2015), least confident first."""
    ordered = sorted(differences, key=abs)
    bins = max(1, min(MAX_BINS, len(ordered) // MIN_BIN_SIZE))
    edges = [round(len(ordered) * part / bins) for part in range(bins + 1)]
    return [_bin(ordered[first:last]) for first, last in pairwise(edges) if last > first]


def _bin(differences: Sequence[float]) -> Bin:
    count = len(differences)
    observed = math.fsum(win_points(difference, 0.0) for difference in differences) / count
    low, high = wilson_interval(observed, count=count)
    return Bin(
        predicted=math.fsum(sigmoid(abs(gap)) for gap in differences) / count,
        observed=observed,
        low=low,
        high=high,
        count=count,
    )


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: the mean difference of confidence and accuracy over bins."""
    count = sum(each.count for each in bins)
    return math.fsum(each.count * abs(each.predicted - each.observed) for each in bins) / count


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)) without overflow."""
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
