"""How often a scorer orders completions as people did: over all, by person, by strength. Torch-free.

Everything here takes the differences r_chosen - r_rejected of some comparisons, in their order. Ties have no
order to get right and are left out; equal rewards are half right.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from training.rlhf.evaluation.win_rate import wilson_interval
from training.rlhf.feedback.preferences import Comparison

Key = TypeVar("Key")

MOST_STRENGTHS = 7  # the steps of a graded pair; finer strengths are gathered into so many groups


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """`accuracy` with its 95 % interval, from so many `comparisons` (NaN and [0, 1] from none)."""

    accuracy: float
    low: float
    high: float
    comparisons: int


def accuracy(differences: Sequence[float], comparisons: Sequence[Comparison]) -> Accuracy:
    """The share ordered as people did; its interval is Wilson's, for as many independent trials as it is
    worth.

    Comparisons of one prompt stand and fall together: four of a prompt are less than four of four prompts. So
    the trials are divided by the design effect, the variance between prompts over that of a coin (Kish 1965,
    section 8.2; the interval as in Korn and Graubard 1998).
    """
    points: dict[str, list[float]] = defaultdict(list)
    for difference, pair in zip(differences, comparisons, strict=True):
        if not pair.tie:
            points[pair.unit].append(point(difference))
    count = sum(map(len, points.values()))
    if not count:
        return Accuracy(accuracy=math.nan, low=0.0, high=1.0, comparisons=0)
    share = sum(map(sum, points.values())) / count
    low, high = wilson_interval(share, count=count / design_effect(list(points.values()), share))
    return Accuracy(accuracy=share, low=low, high=high, comparisons=count)


def point(difference: float) -> float:
    """1 for right, 0 for wrong, 1/2 for no opinion."""
    return 0.5 if difference == 0 else float(difference > 0)


def design_effect(clusters: Sequence[Sequence[float]], mean: float) -> float:
    """By how much belonging together inflates the variance of a mean of points; at least 1."""
    count, groups = sum(map(len, clusters)), len(clusters)
    coin = mean * (1 - mean) / count
    if groups < 2 or coin == 0:
        # Of one prompt nothing is known but itself; where all points agree, prompts do too.
        return count / groups
    between = sum((sum(cluster) - len(cluster) * mean) ** 2 for cluster in clusters)
    return max(1.0, between * groups / (groups - 1) / count**2 / coin)


def longer_wins(comparisons: Sequence[Comparison]) -> Accuracy:
    """The accuracy of preferring the longer text: what any reward model must beat."""
    return accuracy([float(len(pair.chosen) - len(pair.rejected)) for pair in comparisons], comparisons)


def by_annotator(differences: Sequence[float], comparisons: Sequence[Comparison]) -> dict[str, Accuracy]:
    """The accuracy against each person who is named, in the order of their names."""
    groups = _grouped(differences, comparisons, lambda pair: pair.annotator)
    return {name: accuracy(*groups[name]) for name in sorted(groups) if name}


def by_strength(differences: Sequence[float], comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """The accuracy at each strength (a margin, in units of reward), the weakest first.

    More than seven different strengths are gathered into groups of about as many comparisons; `strength` is
    then their mean. A model worth its name does better where people were surer.
    """
    strengths = sorted(pair.margin for pair in comparisons if not pair.tie)
    levels = sorted(set(strengths))
    if len(levels) > MOST_STRENGTHS:
        places = [round(len(strengths) * part / MOST_STRENGTHS) for part in range(MOST_STRENGTHS)]
        levels = sorted({strengths[place] for place in places})
    groups = _grouped(differences, comparisons, lambda pair: max(x for x in levels if x <= pair.margin))
    return [
        {
            "strength": math.fsum(pair.margin for pair in groups[level][1]) / len(groups[level][1]),
            **asdict(accuracy(*groups[level])),
        }
        for level in sorted(groups)
    ]


def _grouped(
    differences: Sequence[float], comparisons: Iterable[Comparison], key: Callable[[Comparison], Key]
) -> dict[Key, tuple[list[float], list[Comparison]]]:
    """Differences and comparisons of each key, ties left out."""
    groups: dict[Key, tuple[list[float], list[Comparison]]] = {}
    for difference, pair in zip(differences, comparisons, strict=True):
        if not pair.tie:
            own, pairs = groups.setdefault(key(pair), ([], []))
            own.append(difference)
            pairs.append(pair)
    return groups
