"""Adjudication: tasks on which people disagree, and who has the last word on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef

from labeling.models import Adjudication, Annotation, Assignment, Project, Task
from labeling.models.annotations import AnnotationQuerySet
from labeling.proportions import Share
from labeling.quality.agreement import by_task
from labeling.quality.annotation_arrays import Answers, answers_of
from labeling.quality.gold import rightness


@dataclass(frozen=True)
class Disagreement:
    """A task whose answers agree less than the project asks for."""

    task: int
    agreement: float
    """Of pairs of answers, from 0 to 1; see `labeling.quality.agreement.Votes.alike`."""
    answers: int


def disagreements(answers: Answers) -> list[Disagreement]:
    """The tasks that wait for a last word, those on which people disagree most first."""
    votes = answers.votes
    sums, pairs = by_task(votes, votes.alike)
    found, places = votes.numbered
    agreed = np.divide(sums, pairs, out=np.ones(len(sums)), where=pairs > 0)
    low = agreed * 100 < answers.project.adjudicate_percent
    counts = np.bincount(places, minlength=len(found))
    settled = set(
        Adjudication.objects.filter(task__project=answers.project).values_list("task_id", flat=True)
    )
    rows = [
        Disagreement(int(task), float(share), int(count))
        for task, share, count in zip(found[low], agreed[low], counts[low], strict=True)
        if int(task) not in settled
    ]
    return sorted(rows, key=lambda row: (row.agreement, -row.answers, row.task))


def with_tasks(rows: Sequence[Disagreement]) -> list[tuple[Disagreement, Task]]:
    """Each with its task, the prompt at hand."""
    tasks = Task.objects.select_related("prompt").in_bulk([row.task for row in rows])
    return [(row, tasks[row.task]) for row in rows]


def agreement_on(task: Task) -> float | None:
    """How far the answers to one task agree, from 0 to 1; None where there are fewer than two."""
    votes = answers_of(task.project, tasks=[task.pk]).votes
    sums, pairs = by_task(votes, votes.alike)
    return float(sums.sum() / pairs.sum()) if pairs.sum() else None


def _counting(task: Task) -> AnnotationQuerySet:
    answers = Annotation.objects.filter(assignment__task=task).counting()
    return answers.select_related("assignment__project", "assignment__annotator").prefetch_related(
        "judgements"
    )


def own_answer(user: User, task: Task) -> Annotation | None:
    """The person's own answer to the task, the revision that counts."""
    return _counting(task).filter(assignment__annotator=user).first()


def answers_to(task: Task) -> list[Annotation]:
    """Everybody's answers to the task that count, in the order in which they were given."""
    return list(_counting(task).order_by("assignment__finished", "pk"))


def settle(*, task: Task, chosen: Assignment | None, note: str = "") -> Adjudication:
    """Have the last word: one answer counts in place of all, or (none chosen) all of them do."""
    adjudication, _ = Adjudication.objects.update_or_create(
        task=task, defaults={"assignment": chosen, "note": note.strip()}
    )
    return adjudication


def reopen(task: Task) -> None:
    """Take the last word back: all answers count, and the task waits again if they disagree."""
    Adjudication.objects.filter(task=task).delete()


# -- Known answers ----------------------------------------------------------------------------------------

MOST_CANDIDATES = 30


def own_tasks(user: User, project: Project) -> set[int]:
    """The project's tasks that this person has answered."""
    answered = Assignment.objects.submitted().filter(annotator=user, project=project)
    return set(answered.values_list("task_id", flat=True))


@dataclass(frozen=True)
class Known:
    """A gold or training task, and how people did on it."""

    task: Task
    right: Share | None


def known_tasks(project: Project) -> list[Known]:
    """The project's gold and training tasks, the newest first."""
    answers = answers_of(project, tasks=Task.objects.filter(project=project, gold__isnull=False))
    right = rightness(answers)
    tasks = Task.objects.filter(project=project, gold__isnull=False)
    rows = []
    for task in tasks.select_related("prompt", "gold__author").order_by("-gold__created"):
        said = right[(answers.tasks == task.pk) & ~np.isnan(right)]
        rows.append(Known(task, Share(int(said.sum()), len(said)) if len(said) else None))
    return rows


def candidates(user: User, project: Project) -> list[Task]:
    """Tasks to make gold of: those that this person has answered already come first, then some at random.
    None has a copy with a known answer yet."""
    tasks = Task.objects.ordinary().filter(project=project).select_related("prompt")
    free = tasks.exclude(copies__kind__in=(Task.Kind.GOLD, Task.Kind.TRAINING))
    mine = Assignment.objects.submitted().filter(task=OuterRef("pk"), annotator=user)
    return list(free.annotate(answered=Exists(mine)).order_by("-answered", "?")[:MOST_CANDIDATES])
