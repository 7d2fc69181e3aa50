"""Correctness of the answers to gold and training tasks."""

from collections.abc import Sequence

import numpy as np
from django.db.models import Count

from labeling.feedback import Verdict, parse_answer
from labeling.models import Annotation, Gold, Project, Task
from labeling.quality.agreement import Floats
from labeling.quality.annotation_arrays import GOLD, TRAINING, AnnotationArrays


def correctness(answers: AnnotationArrays) -> Floats:
    """1 for each correct answer, 0 for each incorrect one, nan where no answer is known.

    The same as `labeling.control_tasks.is_correct`, for all answers at once.
    """
    found = np.full(len(answers), np.nan)
    rows = np.flatnonzero(np.isin(answers.kinds, (GOLD, TRAINING)))
    if not len(rows):
        return found
    project, kind = answers.project, answers.project.kind
    expected = expected_verdicts(project)
    for row in rows.tolist():
        wanted = expected.get(int(answers.tasks[row]))
        if wanted is None:
            continue
        if answers.all_bad[row] or not wanted:
            found[row] = answers.all_bad[row] and not wanted
        else:
            given = [
                verdict_from_value(project, value) for value in answers.values[row, : len(wanted)].tolist()
            ]
            found[row] = kind.is_correct(wanted, given)
    return found


def expected_verdicts(project: Project) -> dict[int, Sequence[Verdict]]:
    """The known verdicts of each gold and training task, by ascending sample id; empty where all are bad."""
    known: dict[int, Sequence[Verdict]] = {}
    for gold in Gold.objects.filter(task__project=project).prefetch_related("task__task_samples"):
        keys = [place.sample_id for place in gold.task.task_samples.all()]
        verdicts = project.verdicts(parse_answer(gold.answer), len(keys))
        by_sample = dict(zip(keys, verdicts, strict=bool(verdicts)))
        known[gold.task_id] = [by_sample[key] for key in sorted(by_sample)]
    return known


def verdict_from_value(project: Project, value: float) -> Verdict:
    """The verdict with this value; see `Feedback.value_of`."""
    match project.feedback:
        case Project.FeedbackKind.PAIR:
            return Verdict(grade=int(value))
        case Project.FeedbackKind.SCORE:
            return Verdict(score=int(value))
    return Verdict(rank=-int(value))


def training_attempt_counts(project: Project) -> dict[int, int]:
    """How many answers each annotator has given to training tasks; wrong ones are asked again."""
    answers = (
        Annotation.objects.for_project(project).filter(assignment__task__kind=Task.Kind.TRAINING).order_by()
    )
    return dict(answers.values_list("assignment__annotator").annotate(Count("pk")))


def gold_copies(task: Task) -> list[Gold]:
    """The known answers of a task's gold and training copies."""
    return list(Gold.objects.filter(task__origin=task).select_related("task").order_by("task__kind"))
