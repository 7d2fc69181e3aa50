"""Answers: submitted once, looked at again, and revised while they are recent."""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction

from labeling.feedback import Answer, AnswerError, Verdict
from labeling.models import Annotation, Assignment, Project, Task
from labeling.queue.leases import LeaseLost, finish

LONGEST_CLIENT_KEY = 64
LAST_EDITABLE = 10
"""How many of a person's last tasks in a project can be looked at and revised."""


class TooLate(Exception):  # noqa: N818 - what happened, not a mistake
    """The answer is not among the person's last ones any more, or there is none."""


def submit(assignment: Assignment, answer: Answer, *, client_key: str) -> Annotation:
    """Store an answer to a leased task.

    Retries of one submit carry the same `client_key` and get the stored answer back. Raises AnswerError
    (nothing is stored, the lease stays) or LeaseLost. A lease that ran out still counts until the place
    has been given to the queue again.
    """
    verdicts = _checked(assignment, answer, client_key)
    with transaction.atomic():
        # Only a training task is answered again under one assignment, so only there a key can have been used.
        tried = _stored(assignment, client_key) if assignment.task.kind == Task.Kind.TRAINING else None
        if tried is not None:
            return tried
        if finish(assignment, Assignment.State.SUBMITTED, draft=None):
            return Annotation.record(assignment, answer, verdicts, client_key=client_key)
        stored = _stored(assignment, client_key)
    if stored is None:
        raise LeaseLost
    return stored


def revise(assignment: Assignment, answer: Answer, *, client_key: str) -> Annotation:
    """Store another answer to a task that is answered, as a new revision: the latest counts.

    Only one of the person's last answers in the project can be revised (`last_answers`), else TooLate.
    Retries carry the same `client_key` and get the stored revision back. Raises AnswerError.
    """
    verdicts = _checked(assignment, answer, client_key)
    with transaction.atomic():
        # Two revisions at once take their numbers one after the other.
        locked = Assignment.objects.select_for_update().filter(pk=assignment.pk).first()
        if locked is None:
            raise TooLate("This answer was deleted.")
        stored = _stored(assignment, client_key)
        if stored is not None:
            return stored
        last = last_answers(annotator=assignment.annotator, project=assignment.project)
        if locked.state != Assignment.State.SUBMITTED or locked not in last:
            raise TooLate(f"Only your last {LAST_EDITABLE} answers can be changed.")
        return Annotation.record(assignment, answer, verdicts, client_key=client_key)


def last_answers(*, annotator: User, project: Project | None = None) -> list[Assignment]:
    """The person's last answered and skipped tasks, newest first: at most LAST_EDITABLE of each project.

    Training tasks are not among them: their answers are known once they are given.
    """
    theirs = Project.objects.allowed(annotator, "labeling.label")  # not those that they have left
    projects = [project] if project else theirs.filter(assignments__annotator=annotator).distinct()
    last = [
        assignment
        for each in projects
        for assignment in Assignment.objects.filter(
            annotator=annotator,
            project=each,
            state__in=[Assignment.State.SUBMITTED, Assignment.State.SKIPPED],
        )
        .exclude(task__kind=Task.Kind.TRAINING)
        .select_related("task__prompt", "project", "annotator")
        .order_by("-finished")[:LAST_EDITABLE]
    ]
    return sorted(last, key=_finished, reverse=True)


def _finished(assignment: Assignment) -> float:
    assert assignment.finished is not None  # so says the database
    return assignment.finished.timestamp()


def _checked(assignment: Assignment, answer: Answer, client_key: str) -> Sequence[Verdict]:
    """The answer sample by sample; AnswerError if it or its key cannot be stored."""
    if not 1 <= len(client_key) <= LONGEST_CLIENT_KEY or "\x00" in client_key:
        raise AnswerError(f"client_key: 1 to {LONGEST_CLIENT_KEY} characters are wanted.")
    return assignment.project.verdicts(answer, len(assignment.shown_order))


def _stored(assignment: Assignment, client_key: str) -> Annotation | None:
    return Annotation.objects.filter(assignment=assignment, client_key=client_key).first()
