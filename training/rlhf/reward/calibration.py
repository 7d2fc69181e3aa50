"""Whether a reward model is as sure as it should be: reliability curve, calibration error, temperature.

A reward model says that the better of two completions wins with probability sigma(|difference| / T), where
T = 1 is what it was trained for. Torch-free; `differences` are r_chosen - r_rejected in the units the model
was trained in, before they were normalised.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from training.rlhf.evaluation.win_rate import wilson_interval, win_points
from training.rlhf.feedback.preferences import Comparison, hash_fraction

MAX_BINS = 10
MIN_BIN_SIZE = 20  # comparisons in a bin, at least: fewer say nothing
MIN_TEMPERATURE, MAX_TEMPERATURE = 1e-3, 1e3
HALVES_SEED = -1  # a seed that no split of training uses, so that the halves cut across it


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Comparisons of like confidence: how sure the model was, and how often it was right (95 % interval)."""

    predicted: float
    observed: float
    low: float
    high: float
    count: int


def calibration(differences: Sequence[float], comparisons: Sequence[Comparison]) -> dict[str, Any] | None:
    """What a report shows; None where there are too few comparisons (ties aside) to tell anything.

    `temperature` makes held-out confidence match held-out accuracy best (Guo et al. 2017): above 1 the model
    was too sure, below it not sure enough. `ece_before` and `ece_after` are the expected calibration error at
    T = 1 and with a temperature. The latter is measured on one half of the prompts with the temperature
    fitted to the other half, and the other way round, for one fitted to what it is measured on flatters.
    `bins` is the reliability curve at T = 1.
    """
    kept = [(gap, pair.split_key) for gap, pair in zip(differences, comparisons, strict=True) if not pair.tie]
    if len(kept) < 2 * MIN_BIN_SIZE:
        return None
    gaps = [gap for gap, _ in kept]
    halves: tuple[list[float], list[float]] = ([], [])
    for gap, unit in kept:
        halves[hash_fraction(unit, HALVES_SEED) < 0.5].append(gap)
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
    """The T that makes -mean log sigma(difference / T) smallest, between 0.001 and 1,000.

    In 1/T the loss is convex, so its slope is followed to where it changes sign. Nothing but right answers
    asks for T = 0, and at least as much wrong as right for infinity: then it is the nearest limit.
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
    """Confidence against accuracy in bins of as many comparisons each, the least sure first.

    Bins of equal count (Nguyen and O'Connor 2015) rather than of equal width: each point of the curve is
    then worth as much as the next.
    """
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
    """Expected calibration error: by how much confidence and accuracy differ in a bin, on average."""
    count = sum(each.count for each in bins)
    return math.fsum(each.count * abs(each.predicted - each.observed) for each in bins) / count


def sigmoid(value: float) -> float:
    """1 / (1 + exp(-value)) without overflow."""
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))
