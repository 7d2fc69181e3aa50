"""How often one version's completion beats another's for the same prompt, by any scorer. Torch-free."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from training.gpt.errors import InputError
from training.rlhf.scorers import Scorer


@dataclass(frozen=True, kw_only=True)
class WinRate:
    """`rate` of a over b, ties counted as half, with its 95 % interval, and both mean scores."""

    rate: float
    interval: tuple[float, float]
    mean_a: float
    mean_b: float
    count: int


def win_rate(
    scorer: Scorer, *, prompts: Sequence[str], completions_a: Sequence[str], completions_b: Sequence[str]
) -> WinRate:
    """Compare prompt by prompt. Raises InputError when there is nothing to compare or the lengths differ."""
    if not prompts:
        raise InputError("prompts: none to compare on; give at least one held-out prompt.")
    if not len(prompts) == len(completions_a) == len(completions_b):
        raise InputError("completions: one of each version is needed for every prompt.")
    scores_a, scores_b = scorer(prompts, completions_a), scorer(prompts, completions_b)
    points = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(scores_a, scores_b, strict=True)]
    rate = math.fsum(points) / len(points)
    return WinRate(
        rate=rate,
        interval=wilson_interval(rate, count=len(points)),
        mean_a=math.fsum(scores_a) / len(scores_a),
        mean_b=math.fsum(scores_b) / len(scores_b),
        count=len(points),
    )


def wilson_interval(rate: float, *, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a proportion, which stays inside [0, 1] and holds for few trials."""
    if count == 0:
        return (0.0, 1.0)
    centre = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count))
    return (max(0.0, centre - half), min(1.0, centre + half))
