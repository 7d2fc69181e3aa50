"""Counts of prompts, tasks and answers for several projects at once, in a fixed number of queries."""

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
from labeling.quality.agreement import Estimate, Votes, pairwise_agreement

DAYS_COUNTED = 14
"""Days for which answers are counted day by day, today included."""
MAX_SHARED_TASKS = 200
"""Agreement is measured on this many of the latest tasks with two or more annotations."""


@dataclass(kw_only=True)
class ProjectCounts:
    """The contents of one project, and its recent activity."""

    prompts: int = 0
    """Training prompts."""
    heldout: int = 0
    tasks: int = 0
    """Ordinary tasks, as in all following fields."""
    open_tasks: int = 0
    open_slots: int = 0
    """Annotations that the open tasks still need, without those in progress."""
    answers: int = 0
    answers_by_day: list[int] = field(default_factory=lambda: [0] * DAYS_COUNTED)
    """Answers on each of the last `DAYS_COUNTED` days."""
    agreement: Estimate | None = None
    annotators: int = 0

    @property
    def today(self) -> int:
        """Answers today, in the site's time zone."""
        return self.answers_by_day[-1]


def last_days() -> list[date]:
    """The days that `ProjectCounts.answers_by_day` counts."""
    today = timezone.localdate()
    return [today - timedelta(days=DAYS_COUNTED - 1 - number) for number in range(DAYS_COUNTED)]


def count_projects(projects: Collection[Project]) -> dict[int, ProjectCounts]:
    """The counts of each project, by its key."""
    found = {project.pk: ProjectCounts() for project in projects}
    for row in _by_project(Prompt.objects.filter(project__in=found), *_PROMPT_COUNTS):
        found[row.pop("project")].__dict__.update(row)
    for row in _by_project(Task.objects.ordinary().filter(project__in=found), *_TASK_COUNTS):
        found[row.pop("project")].__dict__.update(row)
    for pk, estimate in _agreement(projects).items():
        found[pk].agreement = estimate
    answers = Assignment.objects.submitted().filter(project__in=found, task__kind=Task.Kind.ORDINARY)
    for pk, count in answers.order_by().values_list("project").annotate(Count("pk")):
        found[pk].answers = count
    days = {day: place for place, day in enumerate(last_days())}
    lately = answers.filter(finished__gte=timezone.now() - timedelta(days=DAYS_COUNTED + 1))
    answers_by_day = lately.order_by().annotate(day=TruncDate("finished")).values_list("project", "day")
    for pk, day, count in answers_by_day.annotate(Count("pk")):
        if day in days:
            found[pk].answers_by_day[days[day]] = count
    for pk, people in _annotators(projects).items():
        found[pk].annotators = people
    return found


_PROMPT_COUNTS = (
    ("prompts", Count("pk", filter=Q(split=Prompt.Split.TRAIN))),
    ("heldout", Count("pk", filter=Q(split=Prompt.Split.HELDOUT))),
)
_TASK_COUNTS = (
    ("tasks", Count("pk")),
    ("open_tasks", Count("pk", filter=Q(open__gt=0))),
    ("open_slots", Coalesce(Sum("open"), 0)),
)


def _by_project(rows: QuerySet[Any], *counts: tuple[str, Any]) -> list[dict[str, Any]]:
    return list(rows.order_by().values("project").annotate(**dict(counts)))


def _annotators(projects: Collection[Project]) -> dict[int, int]:
    """How many annotators can see each project."""
    everybody = annotators().count()
    closed = Membership.objects.filter(project__in=[each.pk for each in projects if not each.everybody])
    members = closed.filter(person__is_active=True).order_by().values_list("project").annotate(Count("pk"))
    counts = {project.pk: everybody if project.everybody else 0 for project in projects}
    return counts | dict(members)


def _agreement(projects: Collection[Project]) -> dict[int, Estimate]:
    """Pairwise agreement on the latest randomly chosen tasks with two or more annotations."""
    asked = {project.pk: project for project in projects if project.kind.is_comparative}
    shared = Task.objects.ordinary().filter(
        project__in=asked, need__gte=2, open__lte=F("need") - 2, choice=Task.Choice.RANDOM
    )
    place = Window(RowNumber(), partition_by="project", order_by=F("pk").desc())
    latest = shared.annotate(place=place).filter(place__lte=MAX_SHARED_TASKS)
    value = Coalesce(-F("rank"), F("score"), F("grade"), output_field=IntegerField())
    verdicts = Judgement.objects.filter(annotation=OuterRef("pk")).order_by("sample_id")
    answers = Annotation.objects.latest_revisions().filter(assignment__task__in=[row.pk for row in latest])
    table = answers.order_by().values_list(
        "assignment__project", "assignment__task", "assignment__annotator", "all_bad",
        ArraySubquery(verdicts.values_list(value)),
    )  # fmt: skip
    rows: dict[int, list[Any]] = defaultdict(list)
    for pk, *row in table:
        rows[pk].append(row)
    found = {}
    for pk, columns in rows.items():
        tasks, people, all_bad, values = zip(*columns, strict=True)
        project = asked[pk]
        width = max(map(len, values)) or project.samples_per_task
        padded = [[*each, *[np.nan] * (width - len(each))] for each in values]
        votes = Votes.from_rows(
            project.feedback, tasks=tasks, annotators=people, values=padded, all_bad=all_bad
        )
        estimate = pairwise_agreement(votes)
        if estimate is not None:
            found[pk] = estimate
    return found


# -- Training data ----------------------------------------------------------------------------------------


def training_annotations(
    projects: Iterable[Project], *, excluded_snapshots: Iterable[int] = (), since: datetime | None = None
) -> AnnotationQuerySet:
    """The annotations that a model would learn from: of training prompts, not all-bad.

    `excluded_snapshots`: without those in these snapshots, given by their keys. `since`: only later ones.
    """
    answers = (
        Annotation.objects.latest_revisions()
        .used_for_training()
        .filter(
            all_bad=False,
            assignment__project__in=[project.pk for project in projects],
            assignment__task__prompt__split=Prompt.Split.TRAIN,
        )
    )
    if known := list(excluded_snapshots):
        in_excluded = SnapshotAnswer.objects.filter(annotation=OuterRef("pk"), snapshot__in=known)
        answers = answers.filter(~Exists(in_excluded))
    return answers.filter(created__gt=since) if since is not None else answers


def _comparison_count() -> Subquery:
    """How many comparisons `labeling.preferences.comparisons` finds in an annotation.

    A subquery for each annotation: a join of all judgements would read those of all projects.
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


def count_training_data(
    projects: Iterable[Project], *, excluded_snapshots: Iterable[int] = (), since: datetime | None = None
) -> dict[int, int]:
    """How many comparisons each project's annotations give, by its key; for rewrite projects, how many texts.

    `excluded_snapshots` and `since` as in `training_annotations`.
    """
    asked = {project.pk: project for project in projects}
    known = list(excluded_snapshots)
    found = dict.fromkeys(asked, 0)
    compare = [project for project in asked.values() if project.kind.is_comparative]
    if compare:
        answers = training_annotations(compare, excluded_snapshots=known, since=since).order_by()
        found |= dict(
            answers.values_list("assignment__project").annotate(n=Coalesce(Sum(_comparison_count()), 0))
        )
    if rewrite := [project for project in asked.values() if not project.kind.is_comparative]:
        texts = training_annotations(rewrite, excluded_snapshots=known, since=since).order_by()
        found |= dict(texts.values_list("assignment__project").annotate(Count("pk")))
    return found
