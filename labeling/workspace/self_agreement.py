"""One annotator's accuracy on gold tasks and consistency on repeats, shown only to that annotator.

The numbers must not reveal which tasks were gold or repeats. So only answers before today count, days are
grouped until they hold `BATCH_ANSWERS` answers of any kind, and only first revisions count: otherwise one
could edit an answer and watch the number.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from labeling.control_tasks import is_correct
from labeling.models import Annotation, Task
from labeling.models.annotations import AnnotationQuerySet
from labeling.proportions import Proportion
from labeling.workspace.pace import answer_counts_by_day, day_start

MIN_ANSWERS = 5
"""No number is shown for fewer gold answers or repeats."""
BATCH_ANSWERS = 20
"""The numbers are updated after at least this many new answers, so that no single one can be identified."""
MAX_ANSWERS = 200
"""Only the latest answers count."""


def gold_accuracy(annotator: User) -> Proportion | None:
    """The proportion of correct answers to gold tasks; None for fewer than `MIN_ANSWERS` answers."""
    right = [is_correct(annotation) for annotation in _counted_answers(annotator, Task.Kind.GOLD)]
    return _share([found for found in right if found is not None])


def repeat_agreement(annotator: User) -> Proportion | None:
    """How often the same sample came out best on a repeat; None for fewer than `MIN_ANSWERS` repeats.

    Rewritten texts are left out: they choose no sample.
    """
    repeats = _counted_answers(annotator, Task.Kind.REPEAT)
    origins = [annotation.assignment.task.origin_id for annotation in repeats]
    originals: dict[int | None, Annotation] = {
        annotation.assignment.task_id: annotation
        for annotation in _first_revisions(annotator).filter(assignment__task__in=origins)
    }
    same = []
    for annotation in repeats:
        original = originals.get(annotation.assignment.task.origin_id)
        if original is not None and not annotation.text and not original.text:
            same.append(best_samples(annotation) == best_samples(original))
    return _share(same)


def best_samples(annotation: Annotation) -> frozenset[int]:
    """The ids of the best samples: several if tied, none if all are bad."""
    kind = annotation.assignment.project.kind
    values = {item.sample_id: kind.value_of(item.verdict) for item in annotation.judgements.all()}
    best = max(values.values(), default=0)
    return frozenset(sample for sample, worth in values.items() if worth == best)


def _first_revisions(annotator: User) -> AnnotationQuerySet:
    """The first revisions of the annotator's answers, with the rows needed to compare them."""
    first = Annotation.objects.filter(assignment__annotator=annotator, revision=1)
    return first.select_related("assignment__project", "assignment__task__gold").prefetch_related(
        "judgements", "assignment__task__task_samples"
    )


def _counted_answers(annotator: User, kind: str) -> list[Annotation]:
    """The latest counted answers to one kind of task, newest first."""
    until = _cutoff(annotator)
    if until is None:
        return []
    answers = _first_revisions(annotator).filter(assignment__task__kind=kind, assignment__finished__lt=until)
    return list(answers.order_by("-assignment__finished", "-id")[:MAX_ANSWERS])


def _cutoff(annotator: User) -> datetime | None:
    """The end of the last completed batch of days: answers before it are counted."""
    until = None
    pending = 0
    for day, answers in answer_counts_by_day(annotator, before=timezone.localdate()):
        pending += answers
        if pending >= BATCH_ANSWERS:
            until, pending = day_start(day + timedelta(days=1)), 0
    return until


def _share(hits: Sequence[bool]) -> Proportion | None:
    return Proportion(sum(hits), len(hits)) if len(hits) >= MIN_ANSWERS else None
