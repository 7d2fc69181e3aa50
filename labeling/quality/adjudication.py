"""Adjudication: tasks with low agreement, and the final decisions on them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from django.contrib.auth.models import User
from django.db.models import Exists, OuterRef

from labeling.models import Adjudication, Annotation, Assignment, Project, Task
from labeling.models.annotations import AnnotationQuerySet
from labeling.proportions import Proportion
from labeling.quality.agreement import sum_by_task
from labeling.quality.annotation_arrays import AnnotationArrays, load_annotation_arrays
from labeling.quality.gold import correctness


@dataclass(frozen=True)
class Disagreement:
    """A task whose agreement is below the project's threshold."""

    task: int
    agreement: float
    """Mean agreement of pairs of answers, 0 to 1; see `labeling.quality.agreement.Votes.pair_agreement`."""
    answers: int


def disagreements(answers: AnnotationArrays) -> list[Disagreement]:
    """The tasks that need a final decision, lowest agreement first."""
    votes = answers.votes
    sums, pairs = sum_by_task(votes, votes.pair_agreement)
    found, places = votes.task_index
    agreed = np.divide(sums, pairs, out=np.ones(len(sums)), where=pairs > 0)
    low = agreed * 100 < answers.project.adjudicate_percent
    counts = np.bincount(places, minlength=len(found))
    decided = set(
        Adjudication.objects.filter(task__project=answers.project).values_list("task_id", flat=True)
    )
    rows = [
        Disagreement(int(task), float(share), int(count))
        for task, share, count in zip(found[low], agreed[low], counts[low], strict=True)
        if int(task) not in decided
    ]
    return sorted(rows, key=lambda row: (row.agreement, -row.answers, row.task))


def attach_tasks(rows: Sequence[Disagreement]) -> list[tuple[Disagreement, Task]]:
    """Each row with its task and prompt."""
    tasks = Task.objects.select_related("prompt").in_bulk([row.task for row in rows])
    return [(row, tasks[row.task]) for row in rows]


def task_agreement(task: Task) -> float | None:
    """The agreement of the answers to one task, 0 to 1; None with fewer than two answers."""
    votes = load_annotation_arrays(task.project, tasks=[task.pk]).votes
    sums, pairs = sum_by_task(votes, votes.pair_agreement)
    return float(sums.sum() / pairs.sum()) if pairs.sum() else None


def _latest_annotations(task: Task) -> AnnotationQuerySet:
    answers = Annotation.objects.filter(assignment__task=task).latest_revisions()
    return answers.select_related("assignment__project", "assignment__annotator").prefetch_related(
        "judgements"
    )


def own_annotation(user: User, task: Task) -> Annotation | None:
    """The person's own annotation of the task, in its latest revision."""
    return _latest_annotations(task).filter(assignment__annotator=user).first()


def task_annotations(task: Task) -> list[Annotation]:
    """All annotations of the task, in their latest revisions, by submission time."""
    return list(_latest_annotations(task).order_by("assignment__finished", "pk"))


def adjudicate(*, task: Task, chosen: Assignment | None, note: str = "") -> Adjudication:
    """Decide a task: one answer counts instead of all, or (`chosen` is None) all are kept."""
    adjudication, _ = Adjudication.objects.update_or_create(
        task=task, defaults={"assignment": chosen, "note": note.strip()}
    )
    return adjudication


def reopen(task: Task) -> None:
    """Undo a final decision: all answers count, and the task is listed again if they disagree."""
    Adjudication.objects.filter(task=task).delete()


# -- Gold and training tasks ------------------------------------------------------------------------------

MAX_CANDIDATES = 30


def answered_task_ids(user: User, project: Project) -> set[int]:
    """The ids of the project's tasks that this person has answered."""
    answered = Assignment.objects.submitted().filter(annotator=user, project=project)
    return set(answered.values_list("task_id", flat=True))


@dataclass(frozen=True)
class KnownTaskStats:
    """A gold or training task with the accuracy of its answers."""

    task: Task
    accuracy: Proportion | None


def known_task_stats(project: Project) -> list[KnownTaskStats]:
    """The project's gold and training tasks with their accuracy, newest first."""
    answers = load_annotation_arrays(project, tasks=Task.objects.filter(project=project, gold__isnull=False))
    correct = correctness(answers)
    tasks = Task.objects.filter(project=project, gold__isnull=False)
    rows = []
    for task in tasks.select_related("prompt", "gold__author").order_by("-gold__created"):
        hits = correct[(answers.tasks == task.pk) & ~np.isnan(correct)]
        rows.append(KnownTaskStats(task, Proportion(int(hits.sum()), len(hits)) if len(hits) else None))
    return rows


def gold_candidates(user: User, project: Project) -> list[Task]:
    """Tasks to turn into gold: those this person has already answered first, then random ones. Tasks that
    have a gold or training copy are left out."""
    tasks = Task.objects.ordinary().filter(project=project).select_related("prompt")
    free = tasks.exclude(copies__kind__in=(Task.Kind.GOLD, Task.Kind.TRAINING))
    mine = Assignment.objects.submitted().filter(task=OuterRef("pk"), annotator=user)
    return list(free.annotate(answered=Exists(mine)).order_by("-answered", "?")[:MAX_CANDIDATES])
