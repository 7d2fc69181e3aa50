"""Weighted criteria: one score for each rating, and comparisons from these scores. Torch-free."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Comparison, Rating, ranking_to_comparisons

OVERALL = "overall"
"""The name of a rating's overall score among the criteria."""


def parse_weights(text: str) -> dict[str, float]:
    """Criteria and weights from a text such as `overall=1, kindness=0.5`; an empty text gives no weights.

    Raises InputError for text in another form, and if no weight is above 0.
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
                f"criteria: “{part}” is not a weight; write criteria and weights as overall=1,kindness=0.5"
            )
        if name in weights:
            raise InputError(f"criteria: “{name}” occurs twice; give each criterion one weight")
        weights[name] = weight
    if weights and not any(weights.values()):
        raise InputError("criteria: all weights are 0; set at least one above 0")
    return weights


def apply_weights(ratings: Sequence[Rating], weights: Mapping[str, float]) -> list[Rating]:
    """The ratings, scored by the weighted mean of their criteria; unchanged if there are no weights.

    A linear head trained on this mean equals the weighted mean of heads trained on one criterion each, so one
    head is enough. Raises InputError naming a criterion that a rating lacks.
    """
    if not weights:
        return list(ratings)
    total = sum(weights.values())
    weighted = []
    for rating in ratings:
        scores = {OVERALL: rating.score, **rating.criteria}
        if missing := [name for name, weight in weights.items() if weight and name not in scores]:
            raise InputError(
                f"criteria: a rating of “{truncate_text(rating.prompt + rating.completion)}” has no score "
                f"for {missing[0]}; it has {', '.join(scores)}"
            )
        score = sum(weight * scores[name] for name, weight in weights.items() if weight) / total
        weighted.append(replace(rating, score=score))
    return weighted


def ratings_to_comparisons(ratings: Iterable[Rating]) -> list[Comparison]:
    """All pairs of ratings given side by side: the higher score is chosen, equal scores are ties."""
    scores_by_answer: defaultdict[tuple[str, str, str, str], dict[str, float]] = defaultdict(dict)
    messages = {}
    for rating in ratings:
        if rating.group:
            answer = (rating.prompt, rating.group, rating.annotator, rating.choice)
            scores_by_answer[answer][rating.completion] = rating.score
            messages[rating.prompt] = rating.messages
    pairs = []
    for (prompt, group, annotator, choice), scores in scores_by_answer.items():
        order = sorted({round(score, 9) for score in scores.values()}, reverse=True)
        pairs += ranking_to_comparisons(
            prompt=prompt,
            completions=list(scores),
            ranks=[1 + order.index(round(score, 9)) for score in scores.values()],
            group=group,
            annotator=annotator,
            choice=choice,
            messages=messages[prompt],
        )
    return pairs


def truncate_text(text: str, *, max_length: int = 40) -> str:
    """The beginning of a text on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= max_length else line[: max_length - 1] + "…"
