"""Win rates between two versions' completions, by scorers or people, with intervals. Torch-free."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from training.gpt.errors import InputError
from training.rlhf.reward_functions import Scorer


@dataclass(frozen=True, kw_only=True)
class RateEstimate:
    """The mean of `count` points from 0 to 1, with its 95 % interval."""

    rate: float
    interval: tuple[float, float]
    count: int


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """The win rate of a over b with its 95 % interval, ties counted as half, and both mean scores.

    `points` has one entry per pair: 1 where a won, 0 where b won, 0.5 for a tie. `scores_a` and `scores_b`
    have one score per pair.
    """

    rate: float
    interval: tuple[float, float]
    mean_a: float
    mean_b: float
    count: int
    points: list[float]
    scores_a: list[float]
    scores_b: list[float]


def win_rate(
    scorer: Scorer, *, prompts: Sequence[str], completions_a: Sequence[str], completions_b: Sequence[str]
) -> WinRate:
    """Compare completions pair by pair. Raises InputError for empty lists or lists of different lengths.

    A prompt may occur more than once: its pairs are not independent, and the interval allows for that.
    """
    if not prompts:
        raise InputError("prompts: none to compare on; give at least one held-out prompt.")
    if not len(prompts) == len(completions_a) == len(completions_b):
        raise InputError("completions: one of each version is needed for every prompt.")
    scores_a, scores_b = scorer(prompts, completions_a), scorer(prompts, completions_b)
    points = [win_points(a, b) for a, b in zip(scores_a, scores_b, strict=True)]
    estimate = estimate_rate(points, clusters=prompts)
    return WinRate(
        rate=estimate.rate,
        interval=estimate.interval,
        mean_a=math.fsum(scores_a) / len(scores_a),
        mean_b=math.fsum(scores_b) / len(scores_b),
        count=estimate.count,
        points=points,
        scores_a=scores_a,
        scores_b=scores_b,
    )


def win_points(a: float, b: float) -> float:
    """1 if score a is higher than b, 0 if it is lower, 0.5 if they are equal."""
    return 1.0 if a > b else 0.5 if a == b else 0.0


def longer_win_rate(
    points: Sequence[float],
    *,
    prompts: Sequence[Hashable],
    completions_a: Sequence[str],
    completions_b: Sequence[str],
) -> RateEstimate | None:
    """How often the longer text (in characters) won, among pairs of different lengths without a tie.

    A rate far from one half suggests that length itself is rewarded. None if there is no such pair.
    """
    lengths = [(len(a), len(b)) for a, b in zip(completions_a, completions_b, strict=True)]
    return _estimate_pairs(
        [
            (float((point == 1) == (a > b)), prompt)
            for point, (a, b), prompt in zip(points, lengths, prompts, strict=True)
            if a != b and point != 0.5
        ]
    )


def agreement_rate(
    points: Sequence[float], by_people: Sequence[float], *, clusters: Sequence[Hashable]
) -> RateEstimate | None:
    """How often a scorer prefers what people preferred; the scorer's own ties count as half.

    Both lists are points as in `WinRate`, one for each answer; answers in which people saw a tie are left
    out. None if no answer is left.
    """
    return _estimate_pairs(
        [
            (0.5 if point == 0.5 else float(point == theirs), cluster)
            for point, theirs, cluster in zip(points, by_people, clusters, strict=True)
            if theirs != 0.5
        ]
    )


def _estimate_pairs(pairs: Sequence[tuple[float, Hashable]]) -> RateEstimate | None:
    """The estimate from (point, cluster) pairs; None if there are none."""
    if not pairs:
        return None
    return estimate_rate([point for point, _ in pairs], clusters=[cluster for _, cluster in pairs])


def estimate_rate(points: Sequence[float], *, clusters: Sequence[Hashable]) -> RateEstimate:
    """The mean of the points with Wilson's interval at the effective number of points.

    Points of one cluster (the answers to one prompt) may depend on each other; clusters are independent. The
    effective number is the number of points over the `design_effect` (Korn and Graubard 1998).
    """
    if not points:
        raise InputError("points: there are none; a rate needs at least one comparison.")
    rate = math.fsum(points) / len(points)
    effective = len(points) / design_effect(points, clusters=clusters)
    return RateEstimate(rate=rate, interval=wilson_interval(rate, count=effective), count=len(points))


def design_effect(points: Sequence[float], *, clusters: Sequence[Hashable]) -> float:
    """The cluster-robust variance of the mean over that of independent points; at least 1.

    See Kish 1965, section 8.2. It is 1 if no cluster repeats. With one cluster, or if all points are equal,
    the variance cannot be estimated, and a whole cluster counts as one point.
    """
    count = len(points)
    mean = math.fsum(points) / count
    residuals: defaultdict[Hashable, float] = defaultdict(float)
    for point, cluster in zip(points, clusters, strict=True):
        residuals[cluster] += point - mean
    groups = len(residuals)
    if groups == count:
        return 1.0
    independent = mean * (1 - mean) / count
    if groups == 1 or independent == 0:
        return count / groups
    robust = math.fsum(each * each for each in residuals.values()) * groups / (groups - 1) / count**2
    return max(1.0, robust / independent)


def wilson_interval(rate: float, *, count: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion: it stays inside [0, 1] and is valid for few trials."""
    if count == 0:
        return (0.0, 1.0)
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return (max(0.0, centre - half), min(1.0, centre + half))
