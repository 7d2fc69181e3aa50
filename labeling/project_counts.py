"""How far the work of several projects is, counted for all of them at once: a few queries, whatever their
number."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery, Sum, Window
from django.db.models.functions import Coalesce, RowNumber, TruncDate
from django.utils import timezone

from labeling.models import (
    Annotation,
    Assignment,
    Judgement,
    Membership,
    Project,
    Prompt,
    SnapshotAnswer,
    Task,
)
from labeling.models.annotations import AnnotationQuerySet
from labeling.people.accounts import annotators
from labeling.quality.agreement import Estimate, Votes, pairwise

DAYS = 14
"""Answers are counted day by day so far back, today included."""
SHARED_TASKS = 200
"""Agreement is that on the latest so many tasks that two people or more answered."""


@dataclass(kw_only=True)
class Tally:
    """What there is in one project, and what people did lately."""

    prompts: int = 0
    """To train on."""
    heldout: int = 0
    tasks: int = 0
    """Ordinary ones, as all that follow."""
    open_tasks: int = 0
    places: int = 0
    """Answers that the open tasks still want, less those that somebody is giving now."""
    answers: int = 0
    by_day: list[int] = field(default_factory=lambda: [0] * DAYS)
    """Answers on each of the last `DAYS` days."""
    agreement: Estimate | None = None
    annotators: int = 0

    @property
    def today(self) -> int:
        """Answers today, in the site's time zone."""
        return self.by_day[-1]


def last_days() -> list[date]:
    """The days that `Tally.by_day` counts."""
    today = timezone.localdate()
    return [today - timedelta(days=DAYS - 1 - number) for number in range(DAYS)]


def tallies(projects: Collection[Project]) -> dict[int, Tally]:
    """The tally of each project, by its key."""
    found = {project.pk: Tally() for project in projects}
    for row in _by_project(Prompt.objects.filter(project__in=found), *_PROMPTS):
        found[row.pop("project")].__dict__.update(row)
    for row in _by_project(Task.objects.ordinary().filter(project__in=found), *_TASKS):
        found[row.pop("project")].__dict__.update(row)
    for pk, estimate in _agreement(projects).items():
        found[pk].agreement = estimate
    answers = Assignment.objects.submitted().filter(project__in=found, task__kind=Task.Kind.ORDINARY)
    for pk, count in answers.order_by().values_list("project").annotate(Count("pk")):
        found[pk].answers = count
    days = {day: place for place, day in enumerate(last_days())}
    lately = answers.filter(finished__gte=timezone.now() - timedelta(days=DAYS + 1))
    by_day = lately.order_by().annotate(day=TruncDate("finished")).values_list("project", "day")
    for pk, day, count in by_day.annotate(Count("pk")):
        if day in days:
            found[pk].by_day[days[day]] = count
    for pk, people in _annotators(projects).items():
        found[pk].annotators = people
    return found


_PROMPTS = (
    ("prompts", Count("pk", filter=Q(split=Prompt.Split.TRAIN))),
    ("heldout", Count("pk", filter=Q(split=Prompt.Split.HELDOUT))),
)
_TASKS = (
    ("tasks", Count("pk")),
    ("open_tasks", Count("pk", filter=Q(open__gt=0))),
    ("places", Coalesce(Sum("open"), 0)),
)


def _by_project(rows: QuerySet[Any], *counts: tuple[str, Any]) -> list[dict[str, Any]]:
    return list(rows.order_by().values("project").annotate(**dict(counts)))


def _annotators(projects: Collection[Project]) -> dict[int, int]:
    """How many people who are here to label find each project."""
    everybody = annotators().count()
    closed = Membership.objects.filter(project__in=[each.pk for each in projects if not each.everybody])
    members = closed.filter(person__is_active=True).order_by().values_list("project").annotate(Count("pk"))
    counts = {project.pk: everybody if project.everybody else 0 for project in projects}
    return counts | dict(members)


def _agreement(projects: Collection[Project]) -> dict[int, Estimate]:
    """Pairwise agreement on the latest tasks that several people answered: of those that came at random."""
    asked = {project.pk: project for project in projects if project.kind.compares}
    shared = Task.objects.ordinary().filter(
        project__in=asked, need__gte=2, open__lte=F("need") - 2, choice=Task.Choice.RANDOM
    )
    place = Window(RowNumber(), partition_by="project", order_by=F("pk").desc())
    latest = shared.annotate(place=place).filter(place__lte=SHARED_TASKS)
    worth = Coalesce(-F("rank"), F("score"), F("grade"), output_field=IntegerField())
    verdicts = Judgement.objects.filter(annotation=OuterRef("pk")).order_by("sample_id")
    answers = Annotation.objects.counting().filter(assignment__task__in=[row.pk for row in latest])
    table = answers.order_by().values_list(
        "assignment__project", "assignment__task", "assignment__annotator", "all_bad",
        ArraySubquery(verdicts.values_list(worth)),
    )  # fmt: skip
    rows: dict[int, list[Any]] = defaultdict(list)
    for pk, *row in table:
        rows[pk].append(row)
    found = {}
    for pk, said in rows.items():
        tasks, people, all_bad, worths = zip(*said, strict=True)
        project = asked[pk]
        width = max(map(len, worths)) or project.samples_per_task
        padded = [[*each, *[np.nan] * (width - len(each))] for each in worths]
        votes = Votes.of(project.feedback, tasks=tasks, people=people, worths=padded, all_bad=all_bad)
        estimate = pairwise(votes)
        if estimate is not None:
            found[pk] = estimate
    return found


# -- What models can learn from ---------------------------------------------------------------------------


def to_learn_from(
    projects: Iterable[Project], *, beyond: Iterable[int] = (), since: datetime | None = None
) -> AnnotationQuerySet:
    """The answers that a model would learn from: on prompts that are not held out, not all bad.

    `beyond`: only those that are in none of these snapshots, given by their keys. `since`: only later ones.
    """
    answers = (
        Annotation.objects.counting()
        .learned_from()
        .filter(
            all_bad=False,
            assignment__project__in=[project.pk for project in projects],
            assignment__task__prompt__split=Prompt.Split.TRAIN,
        )
    )
    if known := list(beyond):
        in_them = SnapshotAnswer.objects.filter(annotation=OuterRef("pk"), snapshot__in=known)
        answers = answers.filter(~Exists(in_them))
    return answers.filter(created__gt=since) if since is not None else answers


def _comparisons() -> Subquery:
    """How many comparisons `labeling.preferences.comparisons` finds in an answer.

    Answer by answer: a join of all judgements with each other would read those of all projects.
    """
    pairs = Judgement.objects.filter(annotation=OuterRef("pk")).alias(
        other=F("annotation__judgements__sample"),
        other_rank=F("annotation__judgements__rank"),
        other_text=F("annotation__judgements__sample__text"),
    )
    best = Project.FeedbackKind.BEST
    two_not_best = Q(annotation__assignment__project__feedback=best, other_rank=F("rank"))
    compared = pairs.filter(other__gt=F("sample")).exclude(other_text=F("sample__text")).exclude(two_not_best)
    counted = compared.order_by().values("annotation").annotate(count=Count("pk")).values("count")
    return Subquery(counted, output_field=IntegerField())


def count_to_learn_from(
    projects: Iterable[Project], *, beyond: Iterable[int] = (), since: datetime | None = None
) -> dict[int, int]:
    """How many comparisons each project's answers give, by its key; where people rewrite, how many texts.

    `beyond` and `since` as in `to_learn_from`.
    """
    asked = {project.pk: project for project in projects}
    known = list(beyond)
    found = dict.fromkeys(asked, 0)
    compare = [project for project in asked.values() if project.kind.compares]
    if compare:
        answers = to_learn_from(compare, beyond=known, since=since).order_by()
        found |= dict(answers.values_list("assignment__project").annotate(n=Coalesce(Sum(_comparisons()), 0)))
    if rewrite := [project for project in asked.values() if not project.kind.compares]:
        texts = to_learn_from(rewrite, beyond=known, since=since).order_by()
        found |= dict(texts.values_list("assignment__project").annotate(Count("pk")))
    return found
