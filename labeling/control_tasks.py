"""Control tasks: gold, training tasks and repeats, which teach the guidelines and measure quality.

Gold and repeats replace an ordinary task at random, at the project's percentages; annotators cannot tell them
from other tasks, neither on the page nor in the API. Training tasks are announced: the expected answer is
shown afterwards.
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

UNLIMITED_SLOTS = 32_767
"""Annotations of a gold or training task: as many as the column can hold."""
MIN_REPEAT_DISTANCE = 5
"""Other answers that lie between a task and its repeat, at least."""
REPEAT_WINDOW = 40
"""Earlier answers from which a repeat is drawn."""


def draw_task_kind(project: Project) -> str:
    """The kind of the next task by the project's percentages: "gold", "repeat", or "" for an ordinary one."""
    draw = random.uniform(0, 100)
    if draw < project.gold_percent:
        return "gold"
    return "repeat" if draw < project.gold_percent + project.repeat_percent else ""


# -- Gold and training tasks ------------------------------------------------------------------------------


def create_gold_task(
    *,
    task: Task,
    answer: Answer,
    author: User | None,
    kind: str = Task.Kind.GOLD,
    explanation: str = "",
) -> Task:
    """Copy a task for all annotators with a known answer: hidden as "gold", or announced as "training".

    `answer` is in the order of the task's own positions. If the copy exists, only its answer is replaced.
    Raises AnswerError if the answer is not valid for this task, or the project cannot have known answers.
    """
    if kind not in {Task.Kind.GOLD, Task.Kind.TRAINING}:
        raise ValueError(f"kind: {kind!r} is neither 'gold' nor 'training'.")
    project = task.project
    if project.feedback == Rewrite.name:
        raise AnswerError("text: rewrite projects have no gold tasks, because no single text is correct.")
    origin = task.origin or task
    places = list(origin.task_samples.all())
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
                need=UNLIMITED_SLOTS,
                open=UNLIMITED_SLOTS,
                kind=kind,
                origin=origin,
                choice=origin.choice,
            )
            TaskSample.objects.bulk_create(
                TaskSample(task=copy, sample_id=place.sample_id, position=place.position) for place in places
            )
        Gold.objects.update_or_create(task=copy, defaults=known)
    return copy


def gold_annotations(project: Project) -> AnnotationQuerySet:
    """The latest annotations of the project's gold tasks, with all that `is_correct` reads."""
    return annotations_with_known_answer(project).filter(assignment__task__kind=Task.Kind.GOLD)


def annotations_with_known_answer(project: Project) -> AnnotationQuerySet:
    """The latest annotations of the project's gold and training tasks, with all that `is_correct` reads."""
    return (
        Annotation.objects.for_project(project)
        .latest_revisions()
        .filter(assignment__task__gold__isnull=False)
        .select_related("assignment__project", "assignment__task__gold")
        .prefetch_related("judgements", "assignment__task__task_samples")
    )


def is_correct(annotation: Annotation) -> bool | None:
    """Whether an annotation agrees with the known answer; None where there is no known answer."""
    expected = _expected_verdicts(annotation.assignment)
    if expected is None:
        return None
    shown = annotation.assignment.shown_order
    given = {judgement.sample_id: judgement.verdict for judgement in annotation.judgements.all()}
    if annotation.all_bad or not expected:
        return annotation.all_bad and not expected
    kind = annotation.assignment.project.kind
    return kind.is_correct([expected[key] for key in shown], [given[key] for key in shown])


def _expected_verdicts(assignment: Assignment) -> Mapping[int, Verdict] | None:
    """The known verdict of each sample (by id), empty if all are bad; None without a known answer."""
    task = assignment.task
    if task.kind not in {Task.Kind.GOLD, Task.Kind.TRAINING}:
        return None
    keys = [place.sample_id for place in task.task_samples.all()]
    verdicts = assignment.project.verdicts(parse_answer(task.gold.answer), len(keys))
    return dict(zip(keys, verdicts, strict=bool(verdicts)))


# -- The entry test ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class EntryTestProgress:
    """How many of a project's training tasks somebody has answered correctly."""

    total: int
    correct: int
    passed: bool


@dataclass(frozen=True, kw_only=True)
class TrainingFeedback:
    """What is shown after a training task."""

    correct: bool
    expected: Answer
    """In the order in which the samples were shown."""
    explanation: str
    """Markdown."""


def training_feedback(annotation: Annotation) -> TrainingFeedback | None:
    """The feedback on a training task; None for any other task, gold included."""
    assignment = annotation.assignment
    if assignment.task.kind != Task.Kind.TRAINING:
        return None  # before anything is read: the response time must not reveal gold
    expected = _expected_verdicts(assignment)
    assert expected is not None
    shown = [expected[key] for key in assignment.shown_order] if expected else []
    return TrainingFeedback(
        correct=bool(is_correct(annotation)),
        expected=assignment.project.kind.answer(shown) if shown else Answer(all_bad=True),
        explanation=assignment.task.gold.explanation,
    )


def entry_test_progress(*, annotator: User, project: Project) -> EntryTestProgress:
    """How many of the project's training tasks this person has answered correctly, and whether they passed.

    Once passed, the test stays passed when training tasks are added.
    """
    total = Task.objects.filter(project=project, kind=Task.Kind.TRAINING).count()
    correct = len(_passed_training_tasks(annotator, project))
    qualified = Cursor.objects.filter(annotator=annotator, project=project, qualified__isnull=False)
    passed = 100 * correct >= project.entry_percent * total or qualified.exists()
    return EntryTestProgress(total=total, correct=correct, passed=passed)


def next_training_task(*, annotator: User, project: Project) -> Task | None:
    """The next training task: first those not answered yet, then the one answered wrongly or skipped longest
    ago. None once the entry test is passed."""
    if entry_test_progress(annotator=annotator, project=project).passed:
        return None
    theirs = Assignment.objects.filter(annotator=annotator, project=project, task__kind=Task.Kind.TRAINING)
    finished = dict(
        theirs.exclude(state__in=Assignment.REASSIGNABLE_STATES).values_list("task", F("finished"))
    )
    passed = _passed_training_tasks(annotator, project)
    waiting = Task.objects.filter(project=project, kind=Task.Kind.TRAINING).exclude(pk__in=passed)
    return min(
        waiting.order_by("priority", "pk"),
        key=lambda task: (task.pk in finished, finished.get(task.pk)),
        default=None,
    )


def _passed_training_tasks(annotator: User, project: Project) -> set[int]:
    """The ids of the training tasks that this person has answered correctly."""
    answers = annotations_with_known_answer(project).filter(
        assignment__annotator=annotator, assignment__task__kind=Task.Kind.TRAINING
    )
    return {answer.assignment.task_id for answer in answers if is_correct(answer)}
