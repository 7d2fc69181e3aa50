"""Several people's answers to a task as one: by majority, or weighted by reliability.

The weight of a person whose answers are right with probability p is log(p / (1 - p)), which is how the
Dawid-Skene model adds their votes; nobody's is negative.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from labeling.models import Project
from labeling.preferences import Row, source_fields
from labeling.quality.annotation_arrays import load_annotation_arrays
from labeling.quality.annotators import reliabilities
from labeling.stored_answers import StoredAnswer, StoredSample

MAX_RELIABILITY = 0.99
"""More certain than this is nobody."""
EQUAL = 1e-9


class Weights:
    """How much each person's vote counts."""

    def __init__(self, project: Project, aggregate: str) -> None:
        self._weights: dict[int, float] = {}
        self._default = 1.0
        if aggregate == "reliability":
            answers = load_annotation_arrays(project)
            ids, who = np.unique(answers.annotators, return_inverse=True)
            found = {
                pk: estimate.value
                for pk, estimate in zip(ids.tolist(), reliabilities(answers, who), strict=True)
                if estimate is not None
            }
            self._weights = {pk: _log_odds(value) for pk, value in found.items()}
            if self._weights:
                # Who shared no task with anybody counts as the others do on average.
                self._default = sum(self._weights.values()) / len(self._weights)

    def of(self, annotator: int) -> float:
        """The weight of a person's vote."""
        return self._weights.get(annotator, self._default)


def _log_odds(reliability: float) -> float:
    capped = min(max(reliability, 0.5), MAX_RELIABILITY)
    return math.log(capped / (1 - capped))


def aggregated_comparisons(
    project: Project, answers: Sequence[StoredAnswer], weights: Weights
) -> Iterator[Row]:
    """One comparison for each two samples of a task that somebody compared; a draw is a tie.

    `margin` is the mean of the margins, `votes` the number of people, and `agreement` the share of the votes,
    as weighted, that the chosen one has.
    """
    samples = {sample.pk: sample for sample in answers[0].samples}
    sums: dict[tuple[int, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0, 0.0])
    for answer in answers:
        judged = answer.judged
        weight = weights.of(answer.annotator)
        for better, worse, tie, margin in project.kind.preferences([verdict for _, verdict in judged]):
            pair = (judged[better][0].pk, judged[worse][0].pk)
            sign = 0 if tie else 1 if pair[0] < pair[1] else -1
            totals = sums[min(pair), max(pair)]
            for index, value in enumerate((sign * weight, weight, sign * margin * weight, 1)):
                totals[index] += value
    for (first, second), (lead, total, margin, votes) in sums.items():
        if samples[first].text == samples[second].text or not total:
            continue
        chosen, rejected = (first, second) if lead >= 0 else (second, first)
        tie = abs(lead) < EQUAL * total
        yield {
            "chosen": samples[chosen].text,
            "rejected": samples[rejected].text,
            "tie": tie,
            "margin": 0.0 if tie else round(max(0.0, margin * (1 if lead > 0 else -1)) / total, 6),
            "choice": answers[0].choice,
            **task_fields(answers[0], int(votes)),
            "agreement": round((total + abs(lead)) / (2 * total), 6),
        }


def aggregated_votes(
    answers: Sequence[StoredAnswer],
    votes: Sequence[Sequence[float | None]],
    weights: Weights,
) -> list[tuple[StoredSample, float | None, int]]:
    """Each sample of a task with the weighted mean of the votes for it and their number; None without any.

    `votes` has for each answer a number for each sample, or None.
    """
    found: list[tuple[StoredSample, float | None, int]] = []
    for index, sample in enumerate(answers[0].samples):
        given = [
            (weights.of(answer.annotator), vote)
            for answer, each in zip(answers, votes, strict=True)
            if index < len(each) and (vote := each[index]) is not None
        ]
        total = sum(weight for weight, _ in given)
        mean = sum(weight * vote for weight, vote in given) / total if total else None
        found.append((sample, mean, len(given)))
    return found


def task_fields(answer: StoredAnswer, votes: int) -> Row:
    """The fields of a row that stands for all answers to a task; `group` is the task."""
    return {**source_fields(answer), "group": str(answer.task), "annotator": "", "votes": votes}
