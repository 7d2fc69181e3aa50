"""How often a scorer orders completions as annotators did: overall, by annotator, by strength. Torch-free.

All functions take the differences r_chosen - r_rejected of comparisons, in the order of the comparisons. Ties
have no order and are left out; equal rewards count as half right.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from training.rlhf.evaluation.win_rate import estimate_rate, win_points
from training.rlhf.feedback.preferences import Comparison

Key = TypeVar("Key")

MAX_STRENGTHS = 7  # the steps of a graded pair; more strengths than that are grouped


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """`accuracy` with its 95 % interval from `comparisons` comparisons (NaN and [0, 1] from none)."""

    accuracy: float
    low: float
    high: float
    comparisons: int


def accuracy(differences: Sequence[float], comparisons: Sequence[Comparison]) -> Accuracy:
    """The share ordered as annotators did. The interval respects that comparisons of one prompt depend on
    each other (see `estimate_rate`)."""
    ordered = [
        (win_points(difference, 0.0), pair.split_key)
        for difference, pair in zip(differences, comparisons, strict=True)
        if not pair.tie
    ]
    if not ordered:
        return Accuracy(accuracy=math.nan, low=0.0, high=1.0, comparisons=0)
    found = estimate_rate([point for point, _ in ordered], clusters=[unit for _, unit in ordered])
    low, high = found.interval
    return Accuracy(accuracy=found.rate, low=low, high=high, comparisons=found.count)


def length_baseline(comparisons: Sequence[Comparison]) -> Accuracy:
    """The accuracy of always preferring the longer text: the baseline for any reward model."""
    return accuracy([float(len(pair.chosen) - len(pair.rejected)) for pair in comparisons], comparisons)


def accuracy_by_annotator(
    differences: Sequence[float], comparisons: Sequence[Comparison]
) -> dict[str, Accuracy]:
    """The accuracy for each named annotator, in alphabetical order."""
    groups = _grouped(differences, comparisons, lambda pair: pair.annotator)
    return {name: accuracy(*groups[name]) for name in sorted(groups) if name}


def accuracy_by_strength(
    differences: Sequence[float], comparisons: Sequence[Comparison]
) -> list[dict[str, Any]]:
    """The accuracy at each strength (a margin, in units of reward), the weakest first.

    More than MAX_STRENGTHS different strengths are grouped, with about as many comparisons in each group;
    `strength` is then the group's mean. A good model is more accurate where annotators were surer.
    """
    strengths = sorted(pair.margin for pair in comparisons if not pair.tie)
    levels = sorted(set(strengths))
    if len(levels) > MAX_STRENGTHS:
        places = [round(len(strengths) * part / MAX_STRENGTHS) for part in range(MAX_STRENGTHS)]
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
    """Differences and comparisons by key, without ties."""
    groups: dict[Key, tuple[list[float], list[Comparison]]] = {}
    for difference, pair in zip(differences, comparisons, strict=True):
        if not pair.tie:
            own, pairs = groups.setdefault(key(pair), ([], []))
            own.append(difference)
            pairs.append(pair)
    return groups
