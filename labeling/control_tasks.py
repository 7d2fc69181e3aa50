"""Checks: gold, training tasks and repeats, by which people learn the guidelines and quality is seen.

Gold and repeats come by chance, in the project's percentages, each in the stead of an ordinary task; on a
page or in a payload they are like any other. A training task is no secret: what was expected is shown after.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F

from labeling.feedback import Answer, AnswerError, Rewrite, Verdict, parse_answer
from labeling.models import Annotation, Assignment, Cursor, Gold, Project, Task, TaskSample
from labeling.models.annotations import AnnotationQuerySet

EVERYBODY = 32_767
"""Places of a gold or training task: as many as the column holds."""
REPEAT_APART = 5
"""A task comes again after at least so many others."""
REPEAT_REACH = 40
"""From how many answers before those the one that comes again is drawn."""


def draw(project: Project) -> str:
    """What comes next, by the project's percentages: "gold", "repeat", or "" for an ordinary task."""
    chance = random.uniform(0, 100)
    if chance < project.gold_percent:
        return "gold"
    return "repeat" if chance < project.gold_percent + project.repeat_percent else ""


# -- Known answers ----------------------------------------------------------------------------------------


def make_gold(
    *,
    task: Task,
    answer: Answer,
    author: User | None,
    kind: str = Task.Kind.GOLD,
    explanation: str = "",
) -> Task:
    """A copy of the task for everybody, its answer known: "gold" in silence, or "training" with a lesson.

    `answer` is in the order of the task's own places. Made again, the copy keeps its place and takes the new
    answer. Raises AnswerError where the answer is none to this task, or can be none.
    """
    if kind not in {Task.Kind.GOLD, Task.Kind.TRAINING}:
        raise ValueError(f"{kind!r} is no kind of task with a known answer.")
    project = task.project
    if project.feedback == Rewrite.name:
        raise AnswerError("text: no one text is the right one, so there is no gold where people write.")
    origin = task.origin or task
    places = list(origin.places.all())
    judged = replace(answer, flagged=False, comment="", seconds=None)
    project.verdicts(judged, len(places))
    known = {"answer": judged.as_json(), "explanation": explanation.strip(), "author": author}
    with transaction.atomic():
        Task.objects.select_for_update(no_key=True).get(pk=origin.pk)
        copy = Task.objects.filter(origin=origin, kind=kind).first()
        if copy is None:
            copy = Task.objects.create(
                project=project,
                prompt=origin.prompt,
                priority=origin.priority,
                need=EVERYBODY,
                open=EVERYBODY,
                kind=kind,
                origin=origin,
                choice=origin.choice,
            )
            TaskSample.objects.bulk_create(
                TaskSample(task=copy, sample_id=place.sample_id, position=place.position) for place in places
            )
        Gold.objects.update_or_create(task=copy, defaults=known)
    return copy


def answers_with_gold(project: Project) -> AnnotationQuerySet:
    """The project's answers to gold, in the revisions that count, with all that `is_right` reads."""
    return known_answers(project).filter(assignment__task__kind=Task.Kind.GOLD)


def known_answers(project: Project) -> AnnotationQuerySet:
    """The project's answers to gold and training tasks that count, with all that `is_right` reads."""
    return (
        Annotation.objects.of(project)
        .counting()
        .filter(assignment__task__gold__isnull=False)
        .select_related("assignment__project", "assignment__task__gold")
        .prefetch_related("judgements", "assignment__task__places")
    )


def is_right(annotation: Annotation) -> bool | None:
    """Whether an answer agrees with the known one; None where none is known."""
    expected = _expected(annotation.assignment)
    if expected is None:
        return None
    shown = annotation.assignment.shown_order
    given = {judgement.sample_id: judgement.verdict for judgement in annotation.judgements.all()}
    if annotation.all_bad or not expected:
        return annotation.all_bad and not expected
    kind = annotation.assignment.project.kind
    return kind.agrees([expected[key] for key in shown], [given[key] for key in shown])


def _expected(assignment: Assignment) -> Mapping[int, Verdict] | None:
    """The known answer by sample, empty where all are bad; None where none is known."""
    task = assignment.task
    if task.kind not in {Task.Kind.GOLD, Task.Kind.TRAINING}:
        return None
    keys = [place.sample_id for place in task.places.all()]
    verdicts = assignment.project.verdicts(parse_answer(task.gold.answer), len(keys))
    return dict(zip(keys, verdicts, strict=bool(verdicts)))


# -- The entry test ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far somebody is with a project's training tasks."""

    total: int
    right: int
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What somebody is told after a training task."""

    right: bool
    expected: Answer
    """In the order in which the samples were shown."""
    explanation: str
    """Markdown."""


def lesson(annotation: Annotation) -> Lesson | None:
    """What to tell after a training task; None after any other, gold among them."""
    assignment = annotation.assignment
    if assignment.task.kind != Task.Kind.TRAINING:
        return None  # before anything is read: gold takes no longer than other tasks
    expected = _expected(assignment)
    assert expected is not None
    shown = [expected[key] for key in assignment.shown_order] if expected else []
    return Lesson(
        right=bool(is_right(annotation)),
        expected=assignment.project.kind.answer(shown) if shown else Answer(all_bad=True),
        explanation=assignment.task.gold.explanation,
    )


def entry_standing(*, annotator: User, project: Project) -> Standing:
    """How many of the project's training tasks this person has answered right, and whether they may begin.

    Who has passed once stays so, whatever training tasks are added.
    """
    total = Task.objects.filter(project=project, kind=Task.Kind.TRAINING).count()
    right = len(_learned(annotator, project))
    qualified = Cursor.objects.filter(annotator=annotator, project=project, qualified__isnull=False)
    passed = 100 * right >= project.entry_percent * total or qualified.exists()
    return Standing(total=total, right=right, passed=passed)


def next_training(*, annotator: User, project: Project) -> Task | None:
    """The training task to give now: one not answered yet, then the one answered wrongly or skipped longest
    ago. None once enough are right."""
    if entry_standing(annotator=annotator, project=project).passed:
        return None
    theirs = Assignment.objects.filter(annotator=annotator, project=project, task__kind=Task.Kind.TRAINING)
    finished = dict(theirs.exclude(state__in=Assignment.OFFERED_AGAIN).values_list("task", F("finished")))
    learned = _learned(annotator, project)
    waiting = Task.objects.filter(project=project, kind=Task.Kind.TRAINING).exclude(pk__in=learned)
    return min(
        waiting.order_by("priority", "pk"),
        key=lambda task: (task.pk in finished, finished.get(task.pk)),
        default=None,
    )


def _learned(annotator: User, project: Project) -> set[int]:
    """The training tasks that this person has answered right."""
    answers = known_answers(project).filter(
        assignment__annotator=annotator, assignment__task__kind=Task.Kind.TRAINING
    )
    return {answer.assignment.task_id for answer in answers if is_right(answer)}
