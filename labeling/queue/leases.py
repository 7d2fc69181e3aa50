"""Leases on tasks: renewing, skipping, releasing and expiring them, and drafts."""

import json
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from labeling.feedback import AnswerError
from labeling.models import Assignment, Project, Task
from labeling.text_limits import MAX_DRAFT_LENGTH

MAX_REASON_LENGTH = 200


class LeaseLost(Exception):  # noqa: N818 - what happened, not a mistake
    """The assignment is no longer leased: it expired, was skipped, released, or already submitted."""

    def __init__(
        self, line: str = "This task is no longer yours: the lease expired or it was already answered."
    ) -> None:
        super().__init__(line)


def skip(assignment: Assignment, *, reason: str = "") -> None:
    """Skip a task: it goes to others and is not offered to this annotator again. Raises LeaseLost."""
    kept = reason.replace("\x00", "")[:MAX_REASON_LENGTH]
    _return_to_queue(assignment, Assignment.State.SKIPPED, skip_reason=kept, draft=None)


def release(assignment: Assignment) -> None:
    """Release a task unanswered, keeping its draft; the same annotator may get it again. Raises LeaseLost."""
    _return_to_queue(assignment, Assignment.State.RELEASED)


def release_all(*, annotator: User, project: Project | None = None) -> int:
    """Release all tasks this person holds, in one project or (at sign-out) in all. Returns how many."""
    held = Assignment.objects.leased().filter(annotator=annotator)
    if project is not None:
        held = held.filter(project=project)
    released = 0
    # One transaction each: locking several tasks in different orders could deadlock.
    for assignment in held:
        try:
            release(assignment)
        except LeaseLost:
            continue
        released += 1
    return released


def renew(assignment: Assignment) -> bool:
    """Renew the lease for the project's lease time from now. False if the lease is lost."""
    held = Assignment.objects.leased().filter(pk=assignment.pk)
    return bool(held.update(lease_until=lease_end(assignment.project)))


def save_draft(assignment: Assignment, draft: dict[str, Any]) -> bool:
    """Save the unfinished answer to a leased task, and renew the lease. False if the lease is lost.

    Only the page that wrote a draft interprets it. Raises AnswerError if it cannot be stored.
    """
    try:
        text = json.dumps(draft, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (ValueError, TypeError, RecursionError):  # NaN, a lone surrogate
        raise AnswerError("draft: not JSON that can be stored.") from None
    # PostgreSQL cannot store NUL; an escaped backslash before "u0000" is not one.
    if not isinstance(draft, dict) or "\\u0000" in text.replace("\\\\", ""):
        raise AnswerError("draft: must be a JSON object of plain text and numbers.")
    length = _count_characters(draft)
    if length > MAX_DRAFT_LENGTH:
        raise AnswerError(f"draft: {length:,} characters; at most {MAX_DRAFT_LENGTH:,} are allowed.")
    held = Assignment.objects.leased().filter(pk=assignment.pk)
    return bool(held.update(draft=draft, lease_until=lease_end(assignment.project)))


def _count_characters(value: Any) -> int:
    """The characters of all texts and names in JSON; any other value counts as ten."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(name)) + _count_characters(each) for name, each in value.items())
    return sum(map(_count_characters, value)) if isinstance(value, list | tuple) else 10


def expire() -> int:
    """Expire leases whose time is up and reopen their slots. Returns how many.

    One process at a time does this (others return 0), which avoids deadlocks.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(EXPIRE, {"lock": EXPIRE_LOCK})
        return int(cursor.fetchone()[0])


def held_assignment(annotator: User, project: Project) -> Assignment | None:
    """The annotator's leased assignment, renewed. One past its time is still theirs until it is expired."""
    held = Assignment.objects.leased().filter(annotator=annotator, project=project)
    if not held.update(lease_until=lease_end(project)):
        return None
    return held.select_related("task__prompt", "project", "annotator").first()


def finish(assignment: Assignment, state: Assignment.State, **changes: Any) -> bool:
    """Move a leased assignment to another state; False if it is not leased any more."""
    held = Assignment.objects.leased().filter(pk=assignment.pk)
    if not held.update(state=state, finished=Now(), **changes):
        return False
    assignment.state = state
    return True


def lease_end(project: Project) -> Any:
    """When a lease taken or renewed now expires, by the database's clock."""
    return Now() + timedelta(minutes=project.lease_minutes)


def _return_to_queue(assignment: Assignment, state: Assignment.State, **changes: Any) -> None:
    with transaction.atomic():
        if not finish(assignment, state, **changes):
            raise LeaseLost
        Task.objects.filter(pk=assignment.task_id).update(open=F("open") + 1)


EXPIRE_LOCK = 0x686F6E65  # an advisory lock that nothing else uses
EXPIRE = """
WITH swept AS (
    SELECT pg_try_advisory_xact_lock(%(lock)s) AS alone
), lapsed AS (
    SELECT assignment.id
    FROM labeling_assignment AS assignment
    WHERE (SELECT alone FROM swept)
      AND assignment.state = 'leased' AND assignment.lease_until <= statement_timestamp()
    ORDER BY assignment.lease_until
    LIMIT 500
    FOR UPDATE OF assignment SKIP LOCKED
), expired AS (
    UPDATE labeling_assignment AS assignment
    SET state = 'expired', finished = statement_timestamp()
    FROM lapsed
    WHERE assignment.id = lapsed.id
    RETURNING assignment.task_id
), freed AS (
    -- In the order in which all statements lock tasks, to avoid deadlocks.
    SELECT task.id, (SELECT count(*) FROM expired WHERE expired.task_id = task.id) AS places
    FROM labeling_task AS task
    WHERE task.id IN (SELECT task_id FROM expired)
    ORDER BY task.id
    FOR NO KEY UPDATE OF task
), opened AS (
    UPDATE labeling_task AS task
    SET open = task.open + freed.places
    FROM freed
    WHERE task.id = freed.id
)
SELECT count(*) FROM expired
"""
