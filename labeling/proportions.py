"""Proportions with confidence intervals."""

import math
from dataclasses import dataclass

Z95 = 1.959964
"""The two-sided 95 % quantile of the standard normal distribution."""


@dataclass(frozen=True)
class Proportion:
    """`count` of `n` things, as a proportion from 0 to 1. `n` is at least 1; `count` may be fractional."""

    count: float
    n: int

    @property
    def value(self) -> float:
        return self.count / self.n

    @property
    def low(self) -> float:
        """The lower end of the 95 % interval."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """The upper end of the 95 % interval."""
        return self.interval()[1]

    @property
    def percent(self) -> int:
        return round(100 * self.value)

    @property
    def low_percent(self) -> int:
        return round(100 * self.low)

    @property
    def high_percent(self) -> int:
        return round(100 * self.high)

    def interval(self, z: float = Z95) -> tuple[float, float]:
        """Wilson's score interval (Wilson 1927): within 0 and 1, and reliable for small n."""
        n, p = self.n, self.value
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(max(0.0, p * (1 - p)) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)

    def difference_interval(self, other: "Proportion", z: float = Z95) -> tuple[float, float]:
        """The interval of this proportion minus an independent one (Newcombe 1998, method 10)."""
        low, high = self.interval(z)
        other_low, other_high = other.interval(z)
        difference = self.value - other.value
        return (
            difference - math.hypot(self.value - low, other_high - other.value),
            difference + math.hypot(high - self.value, other.value - other_low),
        )
