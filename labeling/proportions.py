"""Shares of counted things, with how sure one can be of them."""

import math
from dataclasses import dataclass

Z = 1.959964
"""Of the normal distribution, 95 % lies within so many standard deviations."""


@dataclass(frozen=True)
class Share:
    """`count` of `of` things, which must be at least one; all shares are from 0 to 1. A thing may count in
    part."""

    count: float
    of: int

    @property
    def share(self) -> float:
        return self.count / self.of

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
        return round(100 * self.share)

    @property
    def low_percent(self) -> int:
        return round(100 * self.low)

    @property
    def high_percent(self) -> int:
        return round(100 * self.high)

    def interval(self, z: float = Z) -> tuple[float, float]:
        """Wilson's score interval (Wilson 1927): it stays between 0 and 1, and is honest for few."""
        n, p = self.of, self.share
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(max(0.0, p * (1 - p)) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)

    def above(self, other: "Share", z: float = Z) -> tuple[float, float]:
        """The interval of how far this share is above another, of other things (Newcombe 1998, method 10)."""
        low, high = self.interval(z)
        other_low, other_high = other.interval(z)
        apart = self.share - other.share
        return (
            apart - math.hypot(self.share - low, other_high - other.share),
            apart + math.hypot(high - self.share, other.share - other_low),
        )
