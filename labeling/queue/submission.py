"""Submitting answers, and revising recent ones."""

from collections.abc import Sequence

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from labeling.feedback import Answer, AnswerError, Verdict
from labeling.models import Annotation, Assignment, Project, Task
from labeling.queue.leases import LeaseLost, finish

MAX_CLIENT_KEY_LENGTH = 64
MAX_EDITABLE_ANSWERS = 10
"""A person's last tasks in a project, up to this many, can be reviewed and revised."""


class NotEditable(Exception):  # noqa: N818 - what happened, not a mistake
    """The answer is not among the person's last ones, or does not exist."""


def submit(assignment: Assignment, answer: Answer, *, client_key: str) -> Annotation:
    """Store the answer to a leased task.

    Idempotent: retries with the same `client_key` return the stored annotation. Raises AnswerError (nothing
    is stored, the lease stays) or LeaseLost. An expired lease is still valid until its slot is reopened.
    """
    verdicts = _validate_answer(assignment, answer, client_key)
    with transaction.atomic():
        # Only training tasks are answered again under the same assignment, so only there the key may exist.
        tried = (
            _stored_annotation(assignment, client_key) if assignment.task.kind == Task.Kind.TRAINING else None
        )
        if tried is not None:
            return tried
        if finish(assignment, Assignment.State.SUBMITTED, draft=None):
            return Annotation.record(assignment, answer, verdicts, client_key=client_key)
        stored = _stored_annotation(assignment, client_key)
    if stored is None:
        raise LeaseLost
    return stored


def record_answered_task(
    task: Task, answer: Answer, *, annotator: User, shown_order: Sequence[int], client_key: str
) -> Annotation:
    """Store the answer to a task that was never in the queue, inside the caller's transaction.

    `shown_order` are the ids of the samples as they were shown. Raises AnswerError.
    """
    assignment = Assignment(
        task=task,
        project=task.project,
        annotator=annotator,
        state=Assignment.State.SUBMITTED,
        shown_order=list(shown_order),
        lease_until=Now(),
        claimed=Now(),
        finished=Now(),
    )
    verdicts = _validate_answer(assignment, answer, client_key)
    assignment.save()
    return Annotation.record(assignment, answer, verdicts, client_key=client_key)


def revise(assignment: Assignment, answer: Answer, *, client_key: str) -> Annotation:
    """Store a new revision of a submitted answer; the latest revision counts.

    NotEditable unless it is among the person's `editable_assignments`. Idempotent: retries with the same
    `client_key` return the stored revision. Raises AnswerError.
    """
    verdicts = _validate_answer(assignment, answer, client_key)
    with transaction.atomic():
        # Locked, so that concurrent revisions get consecutive numbers.
        locked = Assignment.objects.select_for_update().filter(pk=assignment.pk).first()
        if locked is None:
            raise NotEditable("This answer was deleted.")
        stored = _stored_annotation(assignment, client_key)
        if stored is not None:
            return stored
        last = editable_assignments(annotator=assignment.annotator, project=assignment.project)
        if locked.state != Assignment.State.SUBMITTED or locked not in last:
            raise NotEditable(f"Only your last {MAX_EDITABLE_ANSWERS} answers can be changed.")
        return Annotation.record(assignment, answer, verdicts, client_key=client_key)


def editable_assignments(*, annotator: User, project: Project | None = None) -> list[Assignment]:
    """The person's last answered and skipped tasks, newest first: at most MAX_EDITABLE_ANSWERS per project.

    Without training tasks, whose answer is disclosed after submission.
    """
    theirs = Project.objects.allowed(annotator, "labeling.label")  # not those they have left
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
        .order_by("-finished")[:MAX_EDITABLE_ANSWERS]
    ]
    return sorted(last, key=_finished_timestamp, reverse=True)


def _finished_timestamp(assignment: Assignment) -> float:
    assert assignment.finished is not None  # so says the database
    return assignment.finished.timestamp()


def _validate_answer(assignment: Assignment, answer: Answer, client_key: str) -> Sequence[Verdict]:
    """The verdict of each sample; AnswerError if the answer or the key is not valid."""
    if not 1 <= len(client_key) <= MAX_CLIENT_KEY_LENGTH or "\x00" in client_key:
        raise AnswerError(f"client_key: must have 1 to {MAX_CLIENT_KEY_LENGTH} characters.")
    return assignment.project.verdicts(answer, len(assignment.shown_order))


def _stored_annotation(assignment: Assignment, client_key: str) -> Annotation | None:
    return Annotation.objects.filter(assignment=assignment, client_key=client_key).first()
