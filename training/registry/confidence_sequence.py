"""How sure one can be of a win rate, however often one looks and whenever one stops.

A confidence sequence by betting (Waudby-Smith and Ramdas 2024, JRSS-B 86, "Estimating means of bounded random
variables by betting", theorem 3). Who holds that the true rate is m lets us bet at fair odds: of each stake
f, an observation x gives back fx/m, so that capital which begins at 1 grows to the product of 1-f+fx/m. Were
the true rate m, it would ever reach c with a probability of at most 1/c (Ville 1939): so an m against which
it reached 2/alpha is out, and stays out. The same is bet the other way round, on 1-x and 1-m, each side with
half of alpha.

The stake is not one: capital is spread evenly over all stakes from 0 to 1 (Cover's universal portfolio;
Orabona and Jun 2024, IEEE Transactions on Information Theory 70). What is in the interval then depends on how
often each value was seen, not on the order; the capital against a half after w wins and l losses is the
closed integral 2**(w + l + 1) B(w + 1, l + 1) P(Beta(w + 1, l + 1) > 1/2), in which a tie changes nothing;
and a test of a half needs fewer observations than with the stakes that theorem 3 is usually shown with.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

ALPHA = 0.05
"""The chance that the interval ever leaves the true rate out is at most this."""

STEPS = 16
"""Halvings of the unit interval: bounds are this exact, and err to the outside."""

Floats = NDArray[np.float64]

NODES, WEIGHTS = leggauss(32)
"""By Gauss: of the stakes, even in number from 0 to 1, and exact for up to 63 observations. With more it is a
finite spread of stakes, which is as valid."""
STAKES, SHARES = (NODES + 1) / 2, WEIGHTS / 2


@dataclass(frozen=True, kw_only=True)
class ConfidenceSequence:
    """The interval after each observation. All arrays are [observations]."""

    rates: Floats
    """The mean so far."""
    lows: Floats
    highs: Floats
    """The ends so far, which do not belong to the interval; it never grows."""

    @property
    def decided_at(self) -> int | None:
        """After how many observations the interval no longer held a half; None: it does to the end."""
        out = (self.lows >= 0.5) | (self.highs <= 0.5)
        return int(out.argmax()) + 1 if out.any() else None


def confidence_sequence(points: Sequence[float] | Floats, *, alpha: float = ALPHA) -> ConfidenceSequence:
    """The interval for the mean of what `points`, each from 0 to 1, were drawn from, after each of them.

    It holds at all times at once with a probability of at least 1 - alpha, if the mean of each, given those
    before, is the same; they need not be alike otherwise. ValueError: a point outside 0 to 1.
    """
    seen = np.asarray(points, dtype=np.float64)
    if seen.size == 0:
        return ConfidenceSequence(rates=seen, lows=seen, highs=seen)
    if not (seen.min() >= 0 and seen.max() <= 1):
        raise ValueError("points: each is from 0 to 1.")
    values, which = np.unique(seen, return_inverse=True)
    counts = np.cumsum(np.eye(len(values))[which], axis=0)  # [observations, values]
    return ConfidenceSequence(
        rates=np.cumsum(seen) / np.arange(1, len(seen) + 1),
        lows=np.maximum.accumulate(_lows(values, counts, alpha)),
        highs=np.minimum.accumulate(1 - _lows(1 - values, counts, alpha)),
    )


def log_capital(values: Floats, counts: Floats, rates: Floats) -> Floats:
    """The logarithm of what capital of 1 became by betting that the mean is above `rates`. [rows]

    `values` [values] were seen so often as `counts` [rows, values] says; `rates` [rows] are above 0.
    """
    gains = STAKES * (values / rates[:, None] - 1)[:, :, None]  # [rows, values, stakes]
    logs = np.einsum("rv,rvs->rs", counts, np.log1p(gains))
    top = logs.max(axis=1)
    return np.asarray(top + np.log(np.exp(logs - top[:, None]) @ SHARES))


def _lows(values: Floats, counts: Floats, alpha: float) -> Floats:
    """The largest rate that is out, with all below it, as capital falls in the rate; else 0. [rows]"""
    low, high = np.zeros(len(counts)), np.ones(len(counts))
    for _ in range(STEPS):
        middle = (low + high) / 2
        out = log_capital(values, counts, middle) >= np.log(2 / alpha)
        low, high = np.where(out, middle, low), np.where(out, high, middle)
    return low
