"""Several criteria with weights: one score of each rating, and the pairs these scores give. Torch-free."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Comparison, Rating, ranking_to_comparisons

OVERALL = "overall"
"""The criterion that is a rating's own score."""


def parse_weights(text: str) -> dict[str, float]:
    """The weight of each criterion that a text such as `overall=1, kindness=0.5` names; none if it is empty.

    Raises InputError for what is not of that form, and where no weight is above 0.
    """
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, found, number = (piece.strip() for piece in part.rpartition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not found or not name or not 0 <= weight < math.inf:
            raise InputError(
                f"criteria: “{part}” is no weight; write criteria and weights as overall=1,kindness=0.5"
            )
        if name in weights:
            raise InputError(f"criteria: “{name}” is there twice; give each one weight")
        weights[name] = weight
    if weights and not any(weights.values()):
        raise InputError("criteria: all weights are 0; give one of them more")
    return weights


def apply_weights(ratings: Sequence[Rating], weights: Mapping[str, float]) -> list[Rating]:
    """The ratings with the weighted mean of their criteria as their score; as they are without weights.

    A linear head that learns this mean is the weighted mean of the heads that learn one criterion each: so
    weights belong to the labels, and no model needs a head for each criterion. Raises InputError naming a
    criterion that a rating lacks.
    """
    if not weights:
        return list(ratings)
    total = sum(weights.values())
    weighed = []
    for rating in ratings:
        scores = {OVERALL: rating.score, **rating.criteria}
        if missing := [name for name, weight in weights.items() if weight and name not in scores]:
            raise InputError(
                f"criteria: a rating of “{shown(rating.prompt + rating.completion)}” has no score for "
                f"{missing[0]}; it has {', '.join(scores)}"
            )
        score = sum(weight * scores[name] for name, weight in weights.items() if weight) / total
        weighed.append(replace(rating, score=score))
    return weighed


def ratings_to_comparisons(ratings: Iterable[Rating]) -> list[Comparison]:
    """All pairs of ratings that were given side by side, the higher score chosen, equal ones tied."""
    answers: defaultdict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    for rating in ratings:
        if rating.group:
            answer = (rating.prompt, rating.group, rating.annotator, rating.choice)
            answers[answer][rating.completion] = rating.score
    pairs = []
    for (prompt, group, annotator, choice), scores in answers.items():
        order = sorted({round(score, 9) for score in scores.values()}, reverse=True)
        pairs += ranking_to_comparisons(
            prompt=prompt,
            completions=list(scores),
            ranks=[1 + order.index(round(score, 9)) for score in scores.values()],
            group=group,
            annotator=annotator,
            choice=choice,
        )
    return pairs


def shown(text: str, *, longest: int = 40) -> str:
    """The beginning of a text, on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
