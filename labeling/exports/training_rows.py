"""Rows for training from the answers to one task: comparisons, good and bad samples, and texts to learn.

What cannot become a row is counted by its reason, for the summary.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from labeling.exports.aggregation import Weights, aggregated_comparisons, aggregated_votes, task_fields
from labeling.models import Project
from labeling.preferences import Row, comparison_rows, demonstration_row, source_fields
from labeling.stored_answers import StoredAnswer

TIES = "ties (--ties keep)"
DRAWS = "ties"
MIDDLE = "samples that are neither the best nor the worst of an answer"
MIDDLE_SCORES = "samples with the middle score"
NO_BEST = "answers without a single best sample"
LOW = "answers whose best score is in the lower half"


def comparisons_of_task(
    project: Project,
    answers: Sequence[StoredAnswer],
    *,
    weights: Weights | None,
    keep_ties: bool,
    can_keep_ties: bool,
    left_out: Counter[str],
) -> Iterator[Row]:
    """The comparisons in the answers; with `weights`, one for each two samples instead."""
    found = (
        aggregated_comparisons(project, answers, weights)
        if weights is not None
        else (row for answer in answers for row in comparison_rows(project, answer))
    )
    for row in found:
        if row["tie"] and not keep_ties:
            left_out[TIES if can_keep_ties else DRAWS] += 1
            continue
        if not keep_ties:
            del row["tie"]
        if project.feedback != Project.FeedbackKind.PAIR:
            del row["margin"]  # only pairs say how much better
        yield row


def labels_of_task(
    project: Project, answers: Sequence[StoredAnswer], *, weights: Weights | None, left_out: Counter[str]
) -> Iterator[Row]:
    """Each judged sample with a `label`: true for good, false for bad.

    A score is good above the middle of the scale and bad below it. Where samples are compared, the best are
    good and the worst are bad. With `weights`, the votes of all people on a sample are one.
    """
    votes = [_good_or_bad(project, answer) for answer in answers]
    scored = project.feedback == Project.FeedbackKind.SCORE
    between = MIDDLE_SCORES if scored else MIDDLE
    if weights is not None:
        scores = aggregated_votes(answers, [_scores(project, answer) for answer in answers], weights)
        for (sample, good, count), (_, score, _) in zip(
            aggregated_votes(answers, votes, weights), scores, strict=True
        ):
            if good is None or good == 0.5:
                left_out[between] += 1
                continue
            row = {"completion": sample.text, "label": good > 0.5}
            yield (
                row
                | ({"score": round(score, 6)} if score is not None else {})
                | {
                    "choice": answers[0].choice,
                    **task_fields(answers[0], count),
                }
            )
        return
    for answer, goods in zip(answers, votes, strict=True):
        shared = {"choice": answer.choice, **source_fields(answer)}
        scores_of = _scores(project, answer)
        for sample, good, score in zip(answer.samples, goods, scores_of, strict=True):
            if good is None:
                left_out[between] += 1
                continue
            yield {
                "completion": sample.text,
                "label": good == 1.0,
                **({"score": score} if score is not None else {}),
                **shared,
            }


def _good_or_bad(project: Project, answer: StoredAnswer) -> list[float | None]:
    """1 for each good sample, 0 for each bad one, None for those between."""
    scores = _scores(project, answer)
    if project.feedback == Project.FeedbackKind.SCORE:
        return [None if each is None or each == 0.5 else float(each > 0.5) for each in scores]
    values = _values(project, answer)
    known = [each for each in values if each is not None]
    best, worst = max(known, default=0), min(known, default=0)
    if best == worst:
        return [None] * len(values)
    return [1.0 if each == best else 0.0 if each == worst else None for each in values]


def _scores(project: Project, answer: StoredAnswer) -> list[float | None]:
    """Each sample's score from 0 to 1; None where it was not scored."""
    verdicts = [answer.verdicts.get(sample.pk) for sample in answer.samples]
    return [
        None if each is None or each.score is None else project.normalised_score(each.score)
        for each in verdicts
    ]


def _values(project: Project, answer: StoredAnswer) -> list[int | None]:
    kind = project.kind
    verdicts = [answer.verdicts.get(sample.pk) for sample in answer.samples]
    return [None if each is None else kind.value_of(each) for each in verdicts]


def completions_of_task(
    project: Project, answers: Sequence[StoredAnswer], *, weights: Weights | None, left_out: Counter[str]
) -> Iterator[Row]:
    """The text to learn from each answer: what was written, or the single best sample.

    Scores must be in the upper half. With `weights`, the sample with most votes for the best.
    """
    if project.feedback == Project.FeedbackKind.REWRITE:
        yield from map(demonstration_row, answers)
        return
    best = [_best(project, answer, left_out if weights is None else Counter()) for answer in answers]
    if weights is None:
        for answer, index in zip(answers, best, strict=True):
            if index is not None:
                yield {"completion": answer.samples[index].text, **source_fields(answer)}
        return
    voters = [(answer, index) for answer, index in zip(answers, best, strict=True) if index is not None]
    votes = [[float(number == index) for number in range(len(answer.samples))] for answer, index in voters]
    totals = aggregated_votes([answer for answer, _ in voters], votes, weights) if voters else []
    top = max((mean or 0.0 for _, mean, _ in totals), default=0.0)
    winners = [sample for sample, mean, _ in totals if mean == top]
    if len(winners) != 1:
        left_out["tasks without a single best sample"] += 1
        return
    yield {"completion": winners[0].text, **task_fields(answers[0], len(voters))}


def _best(project: Project, answer: StoredAnswer, left_out: Counter[str]) -> int | None:
    """The index of the single best sample."""
    values = _values(project, answer)
    known = [each for each in values if each is not None]
    if not known or values.count(max(known)) != 1:
        left_out[NO_BEST] += 1
        return None
    index = values.index(max(known))
    score = _scores(project, answer)[index]
    if score is not None and score <= 0.5:
        left_out[LOW] += 1
        return None
    return index
