"""Means with 95 % intervals, over seeds or over pairs."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev

from scipy.stats import t as student


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if math.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def to_dict(self) -> dict[str, float]:
        """Plain values, for JSON."""
        return asdict(self)


def mean_interval(values: Sequence[float]) -> Estimate:
    """The mean of independent values with Student's t interval, which is NaN for a single value.

    If each seed draws its own prompts, the interval over seeds covers the variation of both.
    """
    value = fmean(values)
    if len(values) < 2:
        return Estimate(value, math.nan, math.nan, len(values))
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return Estimate(value, value - half, value + half, len(values))


def proportion_interval(values: Sequence[float]) -> Estimate:
    """`mean_interval` of values between 0 and 1, clipped to that range."""
    estimate = mean_interval(values)
    if len(values) < 2:
        return estimate
    return replace(estimate, low=max(0.0, estimate.low), high=min(1.0, estimate.high))


def paired_difference(values: Sequence[float], others: Sequence[float]) -> Estimate:
    """The mean of `values - others`, pair by pair, so that what each pair shares cancels out."""
    return mean_interval([value - other for value, other in zip(values, others, strict=True)])
