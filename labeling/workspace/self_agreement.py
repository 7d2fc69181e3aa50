"""How often one person's answers agree with known ones, and with their own: for that person's own eyes.

Nobody may learn from it which task was gold or a repeat. So only answers before today count, days are counted
together until they hold `TOGETHER` answers of all sorts, and it is the first revision that counts: a later
one would let a person try answers out against the figure.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from labeling.control_tasks import is_right
from labeling.models import Annotation, Task
from labeling.models.annotations import AnnotationQuerySet
from labeling.proportions import Share
from labeling.workspace.pace import answers_by_day, start_of

FEWEST = 5
"""Of fewer such answers nothing is said."""
TOGETHER = 20
"""The figures move when so many more answers were given, by no fewer: it could have been any of them."""
MOST = 200
"""Older answers say little of how somebody works today."""


def with_gold(annotator: User) -> Share | None:
    """How many of the person's answers to gold are right; none while there are fewer than `FEWEST`."""
    right = [is_right(annotation) for annotation in _finished(annotator, Task.Kind.GOLD)]
    return _share([found for found in right if found is not None])


def with_oneself(annotator: User) -> Share | None:
    """How many times the same sample came out best when the person was asked again; none while there are
    fewer than `FEWEST`. A text written twice is no choice, so rewriting has no such figure."""
    again = _finished(annotator, Task.Kind.REPEAT)
    origins = [annotation.assignment.task.origin_id for annotation in again]
    before: dict[int | None, Annotation] = {
        annotation.assignment.task_id: annotation
        for annotation in _answers(annotator).filter(assignment__task__in=origins)
    }
    same = []
    for annotation in again:
        earlier = before.get(annotation.assignment.task.origin_id)
        if earlier is not None and not annotation.text and not earlier.text:
            same.append(favourites(annotation) == favourites(earlier))
    return _share(same)


def favourites(annotation: Annotation) -> frozenset[int]:
    """The samples that came out best, by id: several if tied, none where all are bad."""
    kind = annotation.assignment.project.kind
    worths = {item.sample_id: kind.worth(item.verdict) for item in annotation.judgements.all()}
    best = max(worths.values(), default=0)
    return frozenset(sample for sample, worth in worths.items() if worth == best)


def _answers(annotator: User) -> AnnotationQuerySet:
    """The person's answers as they were first given, with what comparing them needs."""
    first = Annotation.objects.filter(assignment__annotator=annotator, revision=1)
    return first.select_related("assignment__project", "assignment__task__gold").prefetch_related(
        "judgements", "assignment__task__places"
    )


def _finished(annotator: User, kind: str) -> list[Annotation]:
    """The latest answers to one kind of task that count by now, newest first."""
    until = _counted_until(annotator)
    if until is None:
        return []
    answers = _answers(annotator).filter(assignment__task__kind=kind, assignment__finished__lt=until)
    return list(answers.order_by("-assignment__finished", "-id")[:MOST])


def _counted_until(annotator: User) -> datetime | None:
    """The end of the last day whose answers count by now, with those of the days before."""
    until = None
    held = 0
    for day, answers in answers_by_day(annotator, before=timezone.localdate()):
        held += answers
        if held >= TOGETHER:
            until, held = start_of(day + timedelta(days=1)), 0
    return until


def _share(hits: Sequence[bool]) -> Share | None:
    return Share(sum(hits), len(hits)) if len(hits) >= FEWEST else None
