"""What can be said of each annotator from their answers, every figure with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.db.models import Count

from labeling.models import Assignment, Cursor, Project
from labeling.proportions import Share, Z
from labeling.quality import reliability
from labeling.quality.agreement import Floats, Ints, Truths, Votes, quotient
from labeling.quality.annotation_arrays import GOLD, REPEAT, TRAINING, Answers
from labeling.quality.gold import rightness, tries_of


@dataclass(frozen=True)
class Middle:
    """A median with its 95 % interval, and of how many values."""

    value: float
    low: float
    high: float
    of: int


@dataclass(frozen=True)
class Sure:
    """A reliability from 0.5 (guessing) to 1, with its 95 % interval, and of how many answers."""

    share: float
    low: float
    high: float
    of: int


@dataclass(frozen=True, kw_only=True)
class Person:
    """One annotator's figures; None where there is nothing to count."""

    pk: int
    name: str
    answers: int
    last: datetime
    gold: Share | None
    """Right on gold."""
    repeats: Share | None
    """As far as they agree with themselves."""
    others: Share | None
    """As far as they agree with others who answered the same; one for each answer."""
    without: Share | None
    """As far as the others agree among themselves; one for each pair of their answers."""
    reliability: Sure | None
    first: Share | None
    """Picked as best: the one shown first, of answers with one best."""
    chance: float
    """What `first` would be by chance."""
    tied: Share | None
    all_bad: Share | None
    skipped: Share | None
    flagged: Share | None
    seconds: Middle | None
    """Active seconds an answer."""
    too_fast: Share | None
    """In less time than skimming takes."""
    training: Share | None
    """Right on training tasks, by the latest answer to each."""
    tries: int
    """Answers to training tasks, with those that came again."""
    qualified: datetime | None


def people_of(answers: Answers) -> list[Person]:
    """Everybody who has answered, by name."""
    numbers, who = np.unique(answers.people, return_inverse=True)
    names = dict(User.objects.filter(pk__in=numbers.tolist()).values_list("pk", "username"))
    qualified = dict(Cursor.objects.filter(project=answers.project).values_list("annotator", "qualified"))
    skips = skips_of(answers.project)
    tries = tries_of(answers.project)
    right = rightness(answers)
    known = ~np.isnan(right)
    timed = ~np.isnan(answers.seconds)
    picked = answers.first_picks >= 0
    together = agreement_with_others(answers)
    again = agreement_with_oneself(answers)
    columns: dict[str, Sequence[Any]] = {
        "gold": _shares(who, right, known & (answers.kinds == GOLD)),
        "training": _shares(who, right, known & (answers.kinds == TRAINING)),
        "repeats": _shares(who, again, ~np.isnan(again)),
        "others": _shares(who, together, ~np.isnan(together)),
        "without": agreement_without(answers, who),
        "reliability": reliabilities(answers, who),
        "first": _shares(who, answers.first_picks == 0, picked),
        "tied": _shares(who, answers.tied, answers.ordinary & answers.judged),
        "all_bad": _shares(who, answers.all_bad, answers.ordinary),
        "flagged": _shares(who, answers.flagged, answers.ordinary),
        "too_fast": _shares(who, answers.too_fast, timed),
    }
    counts = np.bincount(who, minlength=len(numbers))
    chances = _means(who, 1 / np.maximum(answers.shown, 1), picked, len(numbers))
    people = []
    for place, number in enumerate(numbers.tolist()):
        mine = np.flatnonzero(who == place)
        skipped, total = skips.get(number, 0), int(answers.ordinary[mine].sum())
        people.append(
            Person(
                pk=number,
                name=names[number],
                answers=int(counts[place]),
                last=answers.given[mine[-1]].astype(object),
                chance=float(chances[place]),
                skipped=Share(skipped, skipped + total) if skipped + total else None,
                seconds=median(answers.seconds[mine][timed[mine]]),
                tries=tries.get(number, 0),
                qualified=qualified.get(number),
                **{name: column[place] for name, column in columns.items()},
            )
        )
    return sorted(people, key=lambda person: person.name.casefold())


def skips_of(project: Project) -> dict[int, int]:
    """How many tasks each annotator has skipped."""
    skipped = Assignment.objects.filter(project=project, state=Assignment.State.SKIPPED)
    return dict(skipped.order_by().values_list("annotator").annotate(Count("pk")))


def agreement_with_others(answers: Answers) -> Floats:
    """For each answer how far, on average, it agrees with those of others to the same task; see
    `Votes.alike`. nan where there is no other."""
    votes = answers.votes
    one, other = votes.pairs
    known = ~np.isnan(votes.alike)
    ends = np.concatenate([one[known], other[known]])
    alike = np.tile(votes.alike[known], 2)
    sums = np.bincount(ends, weights=alike, minlength=len(votes.tasks))
    counts = np.bincount(ends, minlength=len(votes.tasks))
    found = np.full(len(answers), np.nan)
    found[answers.voting] = quotient(sums, counts)
    return found


def agreement_without(answers: Answers, who: Ints) -> list[Share | None]:
    """For each person how far all others agree among themselves."""
    size = int(who.max()) + 1 if len(who) else 0
    votes = answers.votes
    known = ~np.isnan(votes.alike)
    alike = votes.alike[known]
    ends = [who[answers.voting[rows[known]]] for rows in votes.pairs]
    sums = alike.sum() - sum(np.bincount(end, weights=alike, minlength=size) for end in ends)
    counts = len(alike) - sum(np.bincount(end, minlength=size) for end in ends)
    return [
        Share(max(float(total), 0.0), int(count)) if count else None
        for total, count in zip(np.atleast_1d(sums), np.atleast_1d(counts), strict=True)
    ]


def agreement_with_oneself(answers: Answers) -> Floats:
    """For each answer to a repeat, how far it agrees with the same person's first; nan for all other rows."""
    found = np.full(len(answers), np.nan)
    repeats = np.flatnonzero(answers.kinds == REPEAT)
    firsts = np.flatnonzero(answers.ordinary & np.isin(answers.tasks, answers.origins[repeats]))
    earlier = {(int(answers.tasks[row]), int(answers.people[row])): row for row in firsts}
    pairs = [
        (earlier[key], row)
        for row in repeats
        if (key := (int(answers.origins[row]), int(answers.people[row]))) in earlier
    ]
    if not pairs or answers.project.feedback == "rewrite":
        return found
    rows = np.array(pairs).ravel()
    votes = Votes.of(
        answers.project.feedback,
        tasks=np.repeat(np.arange(len(pairs)), 2),
        people=answers.people[rows],
        worths=answers.worths[rows],
        all_bad=answers.all_bad[rows],
    )
    found[rows[1::2]] = votes.alike
    return found


def questions_of(answers: Answers) -> tuple[reliability.Answers | None, Ints]:
    """Every two samples that two people or more put in an order, as questions with two sides; and the row of
    `answers` that each answer to one comes from. Ties say nothing here."""
    votes, rows = answers.votes, answers.voting
    said, pair = np.nonzero(np.nan_to_num(votes.signs))
    columns = np.array(list(combinations(range(answers.worths.shape[1]), 2))).reshape(-1, 2)
    keys = votes.numbered[1][said] * max(len(columns), 1) + pair
    _, question, asked = np.unique(keys, return_inverse=True, return_counts=True)
    shared = asked[question] > 1
    if not shared.any():
        return None, np.empty(0, dtype=np.int64)
    said, pair = said[shared], pair[shared]
    places = answers.places[rows][said]
    first, second = columns[pair].T
    each = np.arange(len(said))
    _, question = np.unique(question[shared], return_inverse=True)
    return (
        reliability.Answers(
            questions=question,
            people=votes.people[said],
            second=votes.signs[said, pair] < 0,
            turned=places[each, first] > places[each, second],
            clusters=votes.numbered[1][said],
        ),
        rows[said],
    )


def reliabilities(answers: Answers, who: Ints) -> list[Sure | None]:
    """Each person's reliability, by number in `who`; none for those who never answered with others."""
    size = int(who.max()) + 1 if len(who) else 0
    found: list[Sure | None] = [None] * size
    questions, rows = questions_of(answers)
    if questions is None:
        return found
    present, people = np.unique(who[rows], return_inverse=True)
    fitted = reliability.dawid_skene(
        reliability.Answers(
            questions.questions, people, questions.second, questions.turned, questions.clusters
        )
    )
    for place, number in enumerate(present.tolist()):
        of = len(np.unique(rows[people == place]))
        found[number] = Sure(
            float(fitted.right[place]), float(fitted.low[place]), float(fitted.high[place]), of
        )
    return found


def median(values: Floats) -> Middle | None:
    """The median, its interval from the order of the values (binomial; Conover 1999, section 3.2)."""
    if not len(values):
        return None
    ordered = np.sort(values)
    half = Z * np.sqrt(len(ordered)) / 2
    low = max(0, int(np.floor(len(ordered) / 2 - half)))
    high = min(len(ordered) - 1, int(np.ceil(len(ordered) / 2 + half)) - 1)
    return Middle(float(np.median(ordered)), float(ordered[low]), float(ordered[high]), len(ordered))


def _shares(who: Ints, hits: Floats | Truths, rows: Truths) -> list[Share | None]:
    """For each person the share of hits among some of the rows."""
    size = int(who.max()) + 1 if len(who) else 0
    sums = np.bincount(who[rows], weights=np.asarray(hits[rows], dtype=float), minlength=size)
    counts = np.bincount(who[rows], minlength=size)
    return [
        Share(_neat(float(hit)), int(count)) if count else None
        for hit, count in zip(sums, counts, strict=True)
    ]


def _neat(count: float) -> float:
    """A whole number where it is one."""
    return int(count) if count == int(count) else count


def _means(who: Ints, values: Floats, rows: Truths, size: int) -> Floats:
    sums = np.bincount(who[rows], weights=values[rows], minlength=size)
    counts = np.bincount(who[rows], minlength=size)
    return quotient(sums, counts)
