"""Metrics of each annotator, with confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.db.models import Count

from labeling.models import Assignment, Cursor, Project
from labeling.proportions import Z95, Proportion
from labeling.quality import reliability
from labeling.quality.agreement import Bools, Floats, Ints, Votes, divide_or_nan
from labeling.quality.annotation_arrays import GOLD, REPEAT, TRAINING, AnnotationArrays
from labeling.quality.gold import correctness, training_attempt_counts


@dataclass(frozen=True)
class MedianEstimate:
    """The median of `n` values with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class ReliabilityEstimate:
    """A reliability from 0.5 (guessing) to 1 with its 95 % interval, from `n` answers."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class AnnotatorMetrics:
    """One annotator's metrics; None where there is no data."""

    pk: int
    name: str
    answers: int
    last: datetime
    gold_accuracy: Proportion | None
    self_agreement: Proportion | None
    """Agreement of repeats with the first answers."""
    agreement_with_others: Proportion | None
    """Mean agreement with others on the same task; n is the number of answers."""
    agreement_among_others: Proportion | None
    """The others' agreement among themselves; n is the number of pairs of answers."""
    reliability: ReliabilityEstimate | None
    first_shown_picked: Proportion | None
    """How often the sample shown first was the best, of answers with a single best sample."""
    first_shown_chance: float
    """The expected value of `first_shown_picked` by chance."""
    tied: Proportion | None
    all_bad: Proportion | None
    skipped: Proportion | None
    flagged: Proportion | None
    seconds: MedianEstimate | None
    """Active seconds per answer."""
    too_fast: Proportion | None
    """Answers given faster than the texts can be skimmed."""
    training_accuracy: Proportion | None
    """On training tasks, by the latest answer to each."""
    training_attempts: int
    """Answers to training tasks, repeated ones included."""
    passed_entry_test: datetime | None


def annotator_metrics(answers: AnnotationArrays) -> list[AnnotatorMetrics]:
    """The metrics of all who have answered, sorted by name."""
    ids, who = np.unique(answers.annotators, return_inverse=True)
    names = dict(User.objects.filter(pk__in=ids.tolist()).values_list("pk", "username"))
    passed = dict(Cursor.objects.filter(project=answers.project).values_list("annotator", "qualified"))
    skips = skip_counts(answers.project)
    attempts = training_attempt_counts(answers.project)
    correct = correctness(answers)
    known = ~np.isnan(correct)
    timed = ~np.isnan(answers.seconds)
    picked = answers.best_positions >= 0
    together = agreement_with_others(answers)
    repeated = self_agreement(answers)
    columns: dict[str, Sequence[Any]] = {
        "gold_accuracy": _proportions(who, correct, known & (answers.kinds == GOLD)),
        "training_accuracy": _proportions(who, correct, known & (answers.kinds == TRAINING)),
        "self_agreement": _proportions(who, repeated, ~np.isnan(repeated)),
        "agreement_with_others": _proportions(who, together, ~np.isnan(together)),
        "agreement_among_others": agreement_among_others(answers, who),
        "reliability": reliabilities(answers, who),
        "first_shown_picked": _proportions(who, answers.best_positions == 0, picked),
        "tied": _proportions(who, answers.tied, answers.ordinary & answers.has_judgements),
        "all_bad": _proportions(who, answers.all_bad, answers.ordinary),
        "flagged": _proportions(who, answers.flagged, answers.ordinary),
        "too_fast": _proportions(who, answers.too_fast, timed),
    }
    counts = np.bincount(who, minlength=len(ids))
    chances = _means(who, 1 / np.maximum(answers.sample_counts, 1), picked, len(ids))
    metrics = []
    for index, pk in enumerate(ids.tolist()):
        mine = np.flatnonzero(who == index)
        skipped, total = skips.get(pk, 0), int(answers.ordinary[mine].sum())
        metrics.append(
            AnnotatorMetrics(
                pk=pk,
                name=names[pk],
                answers=int(counts[index]),
                last=answers.submitted[mine[-1]].astype(object),
                first_shown_chance=float(chances[index]),
                skipped=Proportion(skipped, skipped + total) if skipped + total else None,
                seconds=median_estimate(answers.seconds[mine][timed[mine]]),
                training_attempts=attempts.get(pk, 0),
                passed_entry_test=passed.get(pk),
                **{name: column[index] for name, column in columns.items()},
            )
        )
    return sorted(metrics, key=lambda annotator: annotator.name.casefold())


def skip_counts(project: Project) -> dict[int, int]:
    """How many tasks each annotator has skipped."""
    skipped = Assignment.objects.filter(project=project, state=Assignment.State.SKIPPED)
    return dict(skipped.order_by().values_list("annotator").annotate(Count("pk")))


def agreement_with_others(answers: AnnotationArrays) -> Floats:
    """For each answer, its mean agreement with those of others to the same task, see `Votes.pair_agreement`;
    nan where there are no others."""
    votes = answers.votes
    one, other = votes.pairs
    known = ~np.isnan(votes.pair_agreement)
    ends = np.concatenate([one[known], other[known]])
    alike = np.tile(votes.pair_agreement[known], 2)
    sums = np.bincount(ends, weights=alike, minlength=len(votes.tasks))
    counts = np.bincount(ends, minlength=len(votes.tasks))
    found = np.full(len(answers), np.nan)
    found[answers.vote_rows] = divide_or_nan(sums, counts)
    return found


def agreement_among_others(answers: AnnotationArrays, who: Ints) -> list[Proportion | None]:
    """For each annotator, the agreement of all others among themselves."""
    size = int(who.max()) + 1 if len(who) else 0
    votes = answers.votes
    known = ~np.isnan(votes.pair_agreement)
    alike = votes.pair_agreement[known]
    ends = [who[answers.vote_rows[rows[known]]] for rows in votes.pairs]
    sums = alike.sum() - sum(np.bincount(end, weights=alike, minlength=size) for end in ends)
    counts = len(alike) - sum(np.bincount(end, minlength=size) for end in ends)
    return [
        Proportion(max(float(total), 0.0), int(count)) if count else None
        for total, count in zip(np.atleast_1d(sums), np.atleast_1d(counts), strict=True)
    ]


def self_agreement(answers: AnnotationArrays) -> Floats:
    """For each answer to a repeat, its agreement with the same person's first answer; nan for other rows."""
    found = np.full(len(answers), np.nan)
    repeats = np.flatnonzero(answers.kinds == REPEAT)
    firsts = np.flatnonzero(answers.ordinary & np.isin(answers.tasks, answers.origins[repeats]))
    earlier = {(int(answers.tasks[row]), int(answers.annotators[row])): row for row in firsts}
    pairs = [
        (earlier[key], row)
        for row in repeats
        if (key := (int(answers.origins[row]), int(answers.annotators[row]))) in earlier
    ]
    if not pairs or answers.project.feedback == "rewrite":
        return found
    rows = np.array(pairs).ravel()
    votes = Votes.from_rows(
        answers.project.feedback,
        tasks=np.repeat(np.arange(len(pairs)), 2),
        annotators=answers.annotators[rows],
        values=answers.values[rows],
        all_bad=answers.all_bad[rows],
    )
    found[rows[1::2]] = votes.pair_agreement
    return found


def pair_responses(answers: AnnotationArrays) -> tuple[reliability.BinaryResponses | None, Ints]:
    """Pairs of samples that two or more people ordered, as binary items; and the row of `answers` that each
    response comes from. Ties are left out."""
    votes, rows = answers.votes, answers.vote_rows
    rated, pair = np.nonzero(np.nan_to_num(votes.signs))
    columns = np.array(list(combinations(range(answers.values.shape[1]), 2))).reshape(-1, 2)
    keys = votes.task_index[1][rated] * max(len(columns), 1) + pair
    _, item, counts = np.unique(keys, return_inverse=True, return_counts=True)
    shared = counts[item] > 1
    if not shared.any():
        return None, np.empty(0, dtype=np.int64)
    rated, pair = rated[shared], pair[shared]
    positions = answers.positions[rows][rated]
    first, second = columns[pair].T
    each = np.arange(len(rated))
    _, item = np.unique(item[shared], return_inverse=True)
    return (
        reliability.BinaryResponses(
            items=item,
            annotators=votes.annotators[rated],
            responses=votes.signs[rated, pair] < 0,
            is_flipped=positions[each, first] > positions[each, second],
            clusters=votes.task_index[1][rated],
        ),
        rows[rated],
    )


def reliabilities(answers: AnnotationArrays, who: Ints) -> list[ReliabilityEstimate | None]:
    """Each annotator's reliability, by index in `who`; None for those without answers to shared tasks."""
    size = int(who.max()) + 1 if len(who) else 0
    found: list[ReliabilityEstimate | None] = [None] * size
    responses, rows = pair_responses(answers)
    if responses is None:
        return found
    present, people = np.unique(who[rows], return_inverse=True)
    fitted = reliability.dawid_skene(
        reliability.BinaryResponses(
            responses.items, people, responses.responses, responses.is_flipped, responses.clusters
        )
    )
    for index, number in enumerate(present.tolist()):
        n = len(np.unique(rows[people == index]))
        found[number] = ReliabilityEstimate(
            float(fitted.accuracy[index]), float(fitted.low[index]), float(fitted.high[index]), n
        )
    return found


def median_estimate(values: Floats) -> MedianEstimate | None:
    """The median with its binomial interval from order statistics (Conover 1999, section 3.2)."""
    if not len(values):
        return None
    ordered = np.sort(values)
    half = Z95 * np.sqrt(len(ordered)) / 2
    low = max(0, int(np.floor(len(ordered) / 2 - half)))
    high = min(len(ordered) - 1, int(np.ceil(len(ordered) / 2 + half)) - 1)
    return MedianEstimate(float(np.median(ordered)), float(ordered[low]), float(ordered[high]), len(ordered))


def _proportions(who: Ints, hits: Floats | Bools, rows: Bools) -> list[Proportion | None]:
    """For each annotator, the proportion of hits among the given rows."""
    size = int(who.max()) + 1 if len(who) else 0
    sums = np.bincount(who[rows], weights=np.asarray(hits[rows], dtype=float), minlength=size)
    counts = np.bincount(who[rows], minlength=size)
    return [
        Proportion(_int_if_whole(float(hit)), int(count)) if count else None
        for hit, count in zip(sums, counts, strict=True)
    ]


def _int_if_whole(count: float) -> float:
    """An int if the count is integral."""
    return int(count) if count == int(count) else count


def _means(who: Ints, values: Floats, rows: Bools, size: int) -> Floats:
    sums = np.bincount(who[rows], weights=values[rows], minlength=size)
    counts = np.bincount(who[rows], minlength=size)
    return divide_or_nan(sums, counts)
