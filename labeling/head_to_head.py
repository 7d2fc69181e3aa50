"""Blind head-to-head comparisons of two generators by people, on held-out prompts only."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from django.db.models import Exists, Max, OuterRef, Prefetch, Q, QuerySet, Sum

from labeling.models import (
    Annotation,
    Assignment,
    Cursor,
    Generator,
    Judgement,
    Project,
    Prompt,
    Task,
    TaskSample,
)
from labeling.stored_answers import training_annotations

BLIND_TASK_PRIORITY = -1
"""Priority of blind tasks: before all others, since they are few and a decision waits for them."""

DECIDED_TASK_PRIORITY = 32_767
"""Priority of blind tasks once the decision is made: after all others."""


@dataclass(frozen=True, kw_only=True)
class HeadToHeadComparison:
    """One person's comparison of a sample of each generator for the same prompt.

    `points` are 1 if the first generator's sample is better, 0 if the second's is, 0.5 for a tie.
    """

    prompt: str
    first: str
    second: str
    points: float
    annotator: str


@dataclass(frozen=True, kw_only=True)
class HeadToHeadProgress:
    """Progress of the tasks that compare two generators: their number, open slots, and annotations without a
    preference."""

    tasks: int
    open: int
    all_bad: int
    skipped: int


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One held-out prompt on which two generators were compared, with the mean points of its annotations."""

    task: int
    points: float
    answers: int
    completed: datetime


def tasks_between(project: Project, first: Generator, second: Generator) -> QuerySet[Task]:
    """The project's tasks on held-out prompts that show samples of both generators."""
    tasks = Task.objects.ordinary().filter(project=project, prompt__split=Prompt.Split.HELDOUT)
    for generator in (first, second):
        shown = TaskSample.objects.filter(task=OuterRef("pk"), sample__generator=generator)
        tasks = tasks.filter(Exists(shown))
    return tasks


def head_to_head_progress(project: Project, first: Generator, second: Generator) -> HeadToHeadProgress:
    """The progress of the tasks that compare the two generators."""
    tasks = tasks_between(project, first, second)
    assignments = Assignment.objects.filter(task__in=tasks)
    answers = Annotation.objects.for_project(project).latest_revisions().filter(assignment__task__in=tasks)
    return HeadToHeadProgress(
        tasks=tasks.count(),
        open=tasks.aggregate(places=Sum("open"))["places"] or 0,
        all_bad=answers.filter(all_bad=True).count(),
        skipped=assignments.filter(state=Assignment.State.SKIPPED).count(),
    )


def head_to_head_comparisons(
    project: Project, first: Generator, second: Generator
) -> Iterator[HeadToHeadComparison]:
    """Every comparison of the two, in a fixed order. All-bad answers, skips and rewrites contain none."""
    tasks = tasks_between(project, first, second)
    judgements = Judgement.objects.select_related("sample").defer("sample__parameters").order_by("sample_id")
    answers = (
        training_annotations(Annotation.objects.filter(assignment__task__in=tasks))
        .select_related("assignment__annotator", "assignment__task__prompt")
        .prefetch_related(Prefetch("judgements", judgements))
        .order_by("assignment__task_id", "assignment__annotator_id")
    )
    for annotation in answers.iterator(chunk_size=500):
        judged = list(annotation.judgements.all())
        for points, one, other in _points(project, judged, first=first, second=second):
            yield HeadToHeadComparison(
                prompt=annotation.assignment.task.prompt.for_models,
                first=one.sample.text,
                second=other.sample.text,
                points=points,
                annotator=annotation.assignment.annotator.get_username(),
            )


def observations(project: Project, first: Generator, second: Generator) -> list[Observation]:
    """The observations of a sequential test, in the order in which they were completed.

    A prompt counts once, by its first completed task: further annotations of it would not be independent. A
    task counts only when it has all the annotations it needs, so that an observation does not change while
    somebody decides whether to stop. All its annotations count equally, in their latest revision.
    Adjudications are ignored: the reviewer had seen the other answers. All-bad answers contain no preference:
    a task with no others is completed, but not an observation, so the rate is that among prompts with a
    preference or a tie. A skipped slot goes to somebody else. Tasks that a model chose for being hard are
    left out, as in all preference statistics.
    """
    given = (
        Annotation.objects.filter(assignment__task__in=completed_tasks(tasks_between(project, first, second)))
        .latest_revisions()
        .filter(all_bad=False)
        .order_by("pk")
    )
    judgements = (
        Judgement.objects.filter(annotation__in=given)
        .select_related("sample", "annotation__assignment__task")
        .defer("sample__text", "sample__parameters")
        .order_by("annotation_id", "sample_id")
    )
    by_answer: dict[int, list[Judgement]] = defaultdict(list)
    for judgement in judgements:
        by_answer[judgement.annotation_id].append(judgement)
    points_by_task: dict[Task, list[float]] = defaultdict(list)
    for each in by_answer.values():
        points = [won for won, _, _ in _points(project, each, first=first, second=second)]
        if points:
            points_by_task[each[0].annotation.assignment.task].append(fmean(points))
    completed = _completion_times(list(points_by_task))
    found: dict[int, Observation] = {}
    for task in sorted(points_by_task, key=lambda task: (completed[task.pk], task.pk)):
        seen = Observation(
            task=task.pk,
            points=fmean(points_by_task[task]),
            answers=len(points_by_task[task]),
            completed=completed[task.pk],
        )
        found.setdefault(task.prompt_id, seen)
    return list(found.values())


def completed_tasks(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """The randomly chosen tasks that have all the annotations they need."""
    held = Assignment.objects.leased().filter(task=OuterRef("pk"))
    return tasks.filter(~Exists(held), open=0, choice=Task.Choice.RANDOM)


def move_to_front(project: Project, first: Generator, second: Generator) -> int:
    """Move the unstarted tasks of the two to the front of the queue; returns how many were at the back."""
    moved = (
        _unstarted_tasks(project, first, second)
        .filter(priority=DECIDED_TASK_PRIORITY)
        .update(priority=BLIND_TASK_PRIORITY)
    )
    Cursor.objects.rewind(project, priority=BLIND_TASK_PRIORITY)
    return moved


def move_to_back(project: Project, first: Generator, second: Generator) -> int:
    """Move the unstarted tasks of the two to the back of the queue, once the comparison is decided."""
    return (
        _unstarted_tasks(project, first, second)
        .filter(priority=BLIND_TASK_PRIORITY)
        .update(priority=DECIDED_TASK_PRIORITY)
    )


def _unstarted_tasks(project: Project, first: Generator, second: Generator) -> QuerySet[Task]:
    begun = Assignment.objects.filter(task=OuterRef("pk"))
    return tasks_between(project, first, second).filter(~Exists(begun))


def _completion_times(tasks: list[Task]) -> dict[int, datetime]:
    """When each task got its last annotation, by first revisions."""
    last = Max("assignments__finished", filter=Q(assignments__state=Assignment.State.SUBMITTED))
    rows = Task.objects.filter(pk__in=[task.pk for task in tasks]).annotate(last=last)
    return {pk: when for pk, when in rows.values_list("pk", "last") if when is not None}


def _points(
    project: Project, judgements: list[Judgement], *, first: Generator, second: Generator
) -> Iterator[tuple[float, Judgement, Judgement]]:
    """One annotation's comparisons of the two: the first one's points, its judgement, the second's."""
    for better, worse, tie, _ in project.kind.preferences([each.verdict for each in judgements]):
        won, lost = judgements[better], judgements[worse]
        writers = (won.sample.generator_id, lost.sample.generator_id)
        if writers == (first.pk, second.pk):
            yield 0.5 if tie else 1.0, won, lost
        elif writers == (second.pk, first.pk):
            yield 0.5 if tie else 0.0, lost, won


def least_compared_prompts(project: Project, first: Generator, second: Generator) -> list[Prompt]:
    """The project's held-out prompts, those with the fewest comparisons of the two first.

    Ties are broken by hash, an order unrelated to the text: lists of prompts are often sorted by subject or
    difficulty, and their first entries would not be representative.
    """
    had = Counter(tasks_between(project, first, second).values_list("prompt_id", flat=True))
    heldout = project.prompts.filter(split=Prompt.Split.HELDOUT).order_by("hash")
    return sorted(heldout, key=lambda prompt: had[prompt.pk])
