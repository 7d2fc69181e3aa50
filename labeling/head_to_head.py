"""Two generators compared by people who do not know which is which: on held-out prompts only."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from django.db.models import Exists, Max, OuterRef, Q, QuerySet, Sum

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
from labeling.preferences import judged

AHEAD = -1
"""Priority of blind tasks: they are few, and a decision waits for them."""

BEHIND = 32_767
"""Priority of blind tasks whose decision is made: they come after all others."""


@dataclass(frozen=True, kw_only=True)
class Preference:
    """What one person said about one sample of each generator for the same prompt.

    `points` are 1 where the first generator's is better, 0 where the second's is, 0.5 for a tie.
    """

    prompt: str
    first: str
    second: str
    points: float
    annotator: str


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far the tasks are that compare two generators: tasks, places nobody holds yet, and answers without
    a preference."""

    tasks: int
    open: int
    all_bad: int
    skipped: int


@dataclass(frozen=True, kw_only=True)
class Observation:
    """One held-out prompt on which two generators were compared: the mean points of its answers."""

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


def standing(project: Project, first: Generator, second: Generator) -> Standing:
    """How far these tasks are."""
    tasks = tasks_between(project, first, second)
    assignments = Assignment.objects.filter(task__in=tasks)
    answers = Annotation.objects.of(project).counting().filter(assignment__task__in=tasks)
    return Standing(
        tasks=tasks.count(),
        open=tasks.aggregate(places=Sum("open"))["places"] or 0,
        all_bad=answers.filter(all_bad=True).count(),
        skipped=assignments.filter(state=Assignment.State.SKIPPED).count(),
    )


def preferences_between(project: Project, first: Generator, second: Generator) -> Iterator[Preference]:
    """Every answer that compares the two, in a fixed order; all-bad answers and skips prefer nothing, and
    neither does a rewriting."""
    tasks = tasks_between(project, first, second)
    answers = Annotation.objects.filter(assignment__task__in=tasks).select_related("assignment__annotator")
    for annotation, judgements in judged(answers):
        for points, one, other in _points(project, judgements, first=first, second=second):
            yield Preference(
                prompt=annotation.assignment.task.prompt.text,
                first=one.sample.text,
                second=other.sample.text,
                points=points,
                annotator=annotation.assignment.annotator.get_username(),
            )


def observations(project: Project, first: Generator, second: Generator) -> list[Observation]:
    """What a sequential test may count, in the order in which it came to be known.

    A prompt counts once, by the first of its tasks to be complete: another answer to it would not be
    independent of the first. A task counts when it is complete, so that an observation is there or not, and
    does not grow while somebody decides whether to stop: as many people answered as it needs. All their
    answers count alike, in the revision that is the latest now; a last word on a task on which people
    disagree is left out, as it was said by somebody who had seen their answers. All-bad answers prefer
    nothing: a task that got no others is complete, but no observation, and the rate is the one among prompts
    on which people do prefer, or see a tie. Skips give the place to somebody else. Tasks that a model chose
    for being hard are left out, as in all figures about taste.
    """
    given = (
        Annotation.objects.filter(assignment__task__in=complete(tasks_between(project, first, second)))
        .counting()
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
    said: dict[Task, list[float]] = defaultdict(list)
    for each in by_answer.values():
        points = [won for won, _, _ in _points(project, each, first=first, second=second)]
        if points:
            said[each[0].annotation.assignment.task].append(fmean(points))
    ends = _completed(list(said))
    found: dict[int, Observation] = {}
    for task in sorted(said, key=lambda task: (ends[task.pk], task.pk)):
        seen = Observation(
            task=task.pk, points=fmean(said[task]), answers=len(said[task]), completed=ends[task.pk]
        )
        found.setdefault(task.prompt_id, seen)
    return list(found.values())


def complete(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """Those of the tasks that came at random and have all the answers they need."""
    held = Assignment.objects.leased().filter(task=OuterRef("pk"))
    return tasks.filter(~Exists(held), open=0, choice=Task.Choice.RANDOM)


def put_ahead(project: Project, first: Generator, second: Generator) -> int:
    """Let the tasks of the two that nobody has begun come before others; returns how many were behind."""
    moved = _not_begun(project, first, second).filter(priority=BEHIND).update(priority=AHEAD)
    Cursor.objects.rewind(project, priority=AHEAD)
    return moved


def put_behind(project: Project, first: Generator, second: Generator) -> int:
    """Let the tasks of the two that nobody has begun come after all others: the comparison is decided."""
    return _not_begun(project, first, second).filter(priority=AHEAD).update(priority=BEHIND)


def _not_begun(project: Project, first: Generator, second: Generator) -> QuerySet[Task]:
    begun = Assignment.objects.filter(task=OuterRef("pk"))
    return tasks_between(project, first, second).filter(~Exists(begun))


def _completed(tasks: list[Task]) -> dict[int, datetime]:
    """When each of these tasks got its last answer, in its first revision."""
    last = Max("assignments__finished", filter=Q(assignments__state=Assignment.State.SUBMITTED))
    rows = Task.objects.filter(pk__in=[task.pk for task in tasks]).annotate(last=last)
    return {pk: when for pk, when in rows.values_list("pk", "last") if when is not None}


def _points(
    project: Project, judgements: list[Judgement], *, first: Generator, second: Generator
) -> Iterator[tuple[float, Judgement, Judgement]]:
    """What one answer says of the two: the first's points, with its judgement and the second's."""
    for better, worse, tie, _ in project.kind.preferences([each.verdict for each in judgements]):
        won, lost = judgements[better], judgements[worse]
        writers = (won.sample.generator_id, lost.sample.generator_id)
        if writers == (first.pk, second.pk):
            yield 0.5 if tie else 1.0, won, lost
        elif writers == (second.pk, first.pk):
            yield 0.5 if tie else 0.0, lost, won


def least_compared(project: Project, first: Generator, second: Generator) -> list[Prompt]:
    """The project's held-out prompts: those on which the two were compared least come first.

    Else by their hash, an order that has nothing to do with what they say: lists of prompts go by subject or
    by difficulty, and the first of them would not stand for all.
    """
    had = Counter(tasks_between(project, first, second).values_list("prompt_id", flat=True))
    heldout = project.prompts.filter(split=Prompt.Split.HELDOUT).order_by("hash")
    return sorted(heldout, key=lambda prompt: had[prompt.pk])
