"""How often one version's completion of a prompt beats another's, by scorers or people. Torch-free."""

import math
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from training.gpt.errors import InputError
from training.rlhf.scorers import Scorer


@dataclass(frozen=True, kw_only=True)
class Share:
    """A mean of points from 0 to 1 with its 95 % interval, and how many points it is of."""

    rate: float
    interval: tuple[float, float]
    count: int


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """`rate` of a over b, ties counted as half, with its 95 % interval, and both mean scores.

    `points` are 1 where a won, 0 where b did, 0.5 for a tie, pair by pair, as are the two lists of scores.
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
    """Compare pair by pair. Raises InputError when there is nothing to compare or the lengths differ.

    A prompt may stand there more than once: its pairs are not independent, and the interval allows for it.
    """
    if not prompts:
        raise InputError("prompts: none to compare on; give at least one held-out prompt.")
    if not len(prompts) == len(completions_a) == len(completions_b):
        raise InputError("completions: one of each version is needed for every prompt.")
    scores_a, scores_b = scorer(prompts, completions_a), scorer(prompts, completions_b)
    points = [points_of(a, b) for a, b in zip(scores_a, scores_b, strict=True)]
    found = share(points, clusters=prompts)
    return WinRate(
        rate=found.rate,
        interval=found.interval,
        mean_a=math.fsum(scores_a) / len(scores_a),
        mean_b=math.fsum(scores_b) / len(scores_b),
        count=found.count,
        points=points,
        scores_a=scores_a,
        scores_b=scores_b,
    )


def points_of(a: float, b: float) -> float:
    """What a gets for its score against b's: 1 for the higher, 0 for the lower, 0.5 for the same."""
    return 1.0 if a > b else 0.5 if a == b else 0.0


def longer_won(
    points: Sequence[float],
    *,
    prompts: Sequence[Hashable],
    completions_a: Sequence[str],
    completions_b: Sequence[str],
) -> Share | None:
    """How often the longer text (in characters) won, among pairs that differ in length and are no ties.

    Far from one half, the judge may be rewarding length. None where there is no such pair.
    """
    lengths = [(len(a), len(b)) for a, b in zip(completions_a, completions_b, strict=True)]
    right = [
        (float((point == 1) == (a > b)), prompt)
        for point, (a, b), prompt in zip(points, lengths, prompts, strict=True)
        if a != b and point != 0.5
    ]
    return _share_of(right)


def agreement(
    points: Sequence[float], by_people: Sequence[float], *, clusters: Sequence[Hashable]
) -> Share | None:
    """How often a judge prefers what people preferred, where they did; its own ties are half right.

    Both are points as in `WinRate`, one for each answer; None where nobody preferred anything.
    """
    right = [
        (0.5 if point == 0.5 else float(point == theirs), cluster)
        for point, theirs, cluster in zip(points, by_people, clusters, strict=True)
        if theirs != 0.5
    ]
    return _share_of(right)


def _share_of(pairs: Sequence[tuple[float, Hashable]]) -> Share | None:
    """The share of (point, cluster) pairs; None where there are none."""
    if not pairs:
        return None
    return share([point for point, _ in pairs], clusters=[cluster for _, cluster in pairs])


def share(points: Sequence[float], *, clusters: Sequence[Hashable]) -> Share:
    """The mean of the points, with an interval that respects what belongs together.

    Points of one cluster (the answers to one prompt) may depend on each other; clusters may not. Where no
    cluster repeats, the interval is Wilson's. Else it is Wilson's at the effective number of points: that of
    independent ones whose mean would vary as much as the cluster-robust variance says this one does (Kish's
    design effect, as Korn and Graubard 1998 use it), and never more than there are. Where all points are
    alike there is no variance to see, and a whole cluster counts as one point.
    """
    if not points:
        raise InputError("points: there are none; a rate needs at least one comparison.")
    rate = math.fsum(points) / len(points)
    sums: defaultdict[Hashable, float] = defaultdict(float)
    for point, cluster in zip(points, clusters, strict=True):
        sums[cluster] += point - rate
    effective = float(len(points))
    if 1 < len(sums) < len(points):
        spread = math.fsum(each * each for each in sums.values()) * len(sums) / (len(sums) - 1)
        variance = spread / len(points) ** 2
        independent = rate * (1 - rate) / variance if variance > 0 else float(len(sums))
        effective = min(effective, independent)
    elif len(sums) == 1:
        effective = 1.0
    return Share(rate=rate, interval=wilson_interval(rate, count=effective), count=len(points))


def wilson_interval(rate: float, *, count: float, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion, which stays inside [0, 1] and holds for few trials."""
    if count == 0:
        return (0.0, 1.0)
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return (max(0.0, centre - half), min(1.0, centre + half))
