"""What became of gold and training tasks."""

from collections.abc import Sequence

import numpy as np
from django.db.models import Count

from labeling.feedback import Verdict, parse_answer
from labeling.models import Annotation, Gold, Project, Task
from labeling.quality.agreement import Floats
from labeling.quality.annotation_arrays import GOLD, TRAINING, Answers


def rightness(answers: Answers) -> Floats:
    """1 for each answer that agrees with the known one, 0 for each that does not, nan where none is known.

    As `labeling.control_tasks.is_right` has it, for all answers at once.
    """
    found = np.full(len(answers), np.nan)
    rows = np.flatnonzero(np.isin(answers.kinds, (GOLD, TRAINING)))
    if not len(rows):
        return found
    project, kind = answers.project, answers.project.kind
    expected = known_verdicts(project)
    for row in rows.tolist():
        wanted = expected.get(int(answers.tasks[row]))
        if wanted is None:
            continue
        if answers.all_bad[row] or not wanted:
            found[row] = answers.all_bad[row] and not wanted
        else:
            said = [verdict(project, worth) for worth in answers.worths[row, : len(wanted)].tolist()]
            found[row] = kind.agrees(wanted, said)
    return found


def known_verdicts(project: Project) -> dict[int, Sequence[Verdict]]:
    """By gold or training task: the known verdicts by the samples' ids, none where all are bad."""
    known: dict[int, Sequence[Verdict]] = {}
    for gold in Gold.objects.filter(task__project=project).prefetch_related("task__places"):
        keys = [place.sample_id for place in gold.task.places.all()]
        verdicts = project.verdicts(parse_answer(gold.answer), len(keys))
        by_sample = dict(zip(keys, verdicts, strict=bool(verdicts)))
        known[gold.task_id] = [by_sample[key] for key in sorted(by_sample)]
    return known


def verdict(project: Project, worth: float) -> Verdict:
    """The verdict that has this worth; see `Feedback.worth`."""
    match project.feedback:
        case Project.FeedbackKind.PAIR:
            return Verdict(grade=int(worth))
        case Project.FeedbackKind.SCORE:
            return Verdict(score=int(worth))
    return Verdict(rank=-int(worth))


def tries_of(project: Project) -> dict[int, int]:
    """How many times each annotator has answered a training task: a wrong answer comes again."""
    given = Annotation.objects.of(project).filter(assignment__task__kind=Task.Kind.TRAINING).order_by()
    return dict(given.values_list("assignment__annotator").annotate(Count("pk")))


def gold_of(task: Task) -> list[Gold]:
    """What is known of copies of a task: the answers of its gold and training task."""
    return list(Gold.objects.filter(task__origin=task).select_related("task").order_by("task__kind"))
