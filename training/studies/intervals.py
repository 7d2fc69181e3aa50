"""How sure a study may be: intervals over prompts and over seeds, all at 95 %."""

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
    """The mean of independent values with Student's interval; of a single value, the interval is unknown.

    Over seeds, each of which drew its own prompts, it covers the chance of both.
    """
    value = fmean(values)
    if len(values) < 2:
        return Estimate(value, math.nan, math.nan, len(values))
    half = float(student.ppf(0.975, len(values) - 1)) * stdev(values) / math.sqrt(len(values))
    return Estimate(value, value - half, value + half, len(values))


def share_interval(values: Sequence[float]) -> Estimate:
    """The same of shares, which lie between 0 and 1 however few there are of them."""
    found = mean_interval(values)
    if len(values) < 2:
        return found
    return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))


def paired_interval(values: Sequence[float], others: Sequence[float]) -> Estimate:
    """How much more `values` are than `others`, pair by pair: what both share cancels out."""
    return mean_interval([value - other for value, other in zip(values, others, strict=True)])
