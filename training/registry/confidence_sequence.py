"""Confidence sequences: intervals for a win rate that stay valid under repeated looks and optional stopping.

The method is betting (Waudby-Smith and Ramdas 2024, JRSS-B 86, "Estimating means of bounded random variables
by betting", theorem 3). Against the hypothesis that the true rate is m we bet at fair odds: a stake f returns
fx/m for an observation x, so that an initial capital of 1 grows to the product of 1-f+fx/m. If the true rate
is m, the capital ever reaches c with a probability of at most 1/c (Ville 1939). So each m against which it
reaches 2/alpha is excluded for good. The same bet is made on 1-x and 1-m, each side with half of alpha.

Instead of a single stake, the capital is spread evenly over all stakes from 0 to 1 (Cover's universal
portfolio; Orabona and Jun 2024, IEEE Transactions on Information Theory 70). Then the interval depends on how
often each value was seen, not on the order. The capital against 1/2 after w wins and l losses is the integral
2**(w + l + 1) B(w + 1, l + 1) P(Beta(w + 1, l + 1) > 1/2), which ties do not change; and a test of 1/2 needs
fewer observations than with the stakes usually shown for theorem 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

ALPHA = 0.05
"""The maximum probability that the interval ever excludes the true rate."""

STEPS = 16
"""Bisection steps of the unit interval. Bounds are rounded outwards."""

Floats = NDArray[np.float64]

NODES, WEIGHTS = leggauss(32)
"""Gauss-Legendre quadrature over the stakes: exact for up to 63 observations. Beyond, it is a finite mixture
of stakes, which is valid as well."""
STAKES, SHARES = (NODES + 1) / 2, WEIGHTS / 2


@dataclass(frozen=True, kw_only=True)
class ConfidenceSequence:
    """The interval after each observation. All arrays are [observations]."""

    rates: Floats
    """The mean so far."""
    lows: Floats
    highs: Floats
    """The open ends of the interval so far; it never grows."""

    @property
    def decided_at(self) -> int | None:
        """The number of observations after which the interval first excludes 1/2; None if it never does."""
        excluded = (self.lows >= 0.5) | (self.highs <= 0.5)
        return int(excluded.argmax()) + 1 if excluded.any() else None


def confidence_sequence(points: Sequence[float] | Floats, *, alpha: float = ALPHA) -> ConfidenceSequence:
    """The interval for the mean of the distribution of `points`, each from 0 to 1, after each of them.

    It covers the mean at all times simultaneously with a probability of at least 1 - alpha, provided that
    each point has the same mean given the earlier ones. Raises ValueError for a point outside 0 to 1.
    """
    seen = np.asarray(points, dtype=np.float64)
    if seen.size == 0:
        return ConfidenceSequence(rates=seen, lows=seen, highs=seen)
    if not (seen.min() >= 0 and seen.max() <= 1):
        raise ValueError("points: each must be from 0 to 1.")
    values, which = np.unique(seen, return_inverse=True)
    counts = np.cumsum(np.eye(len(values))[which], axis=0)  # [observations, values]
    return ConfidenceSequence(
        rates=np.cumsum(seen) / np.arange(1, len(seen) + 1),
        lows=np.maximum.accumulate(_lows(values, counts, alpha)),
        highs=np.minimum.accumulate(1 - _lows(1 - values, counts, alpha)),
    )


def log_capital(values: Floats, counts: Floats, rates: Floats) -> Floats:
    """The logarithm of the capital after betting that the mean is above `rates`, starting from 1. [rows]

    `counts` [rows, values] says how often each of `values` [values] was seen; `rates` [rows] are above 0.
    """
    gains = STAKES * (values / rates[:, None] - 1)[:, :, None]  # [rows, values, stakes]
    logs = np.einsum("rv,rvs->rs", counts, np.log1p(gains))
    maxima = logs.max(axis=1)
    return np.asarray(maxima + np.log(np.exp(logs - maxima[:, None]) @ SHARES))


def _lows(values: Floats, counts: Floats, alpha: float) -> Floats:
    """The largest excluded rate, by bisection, as the capital decreases in the rate; 0 if none is. [rows]"""
    low, high = np.zeros(len(counts)), np.ones(len(counts))
    for _ in range(STEPS):
        middle = (low + high) / 2
        excluded = log_capital(values, counts, middle) >= np.log(2 / alpha)
        low, high = np.where(excluded, middle, low), np.where(excluded, high, middle)
    return low
