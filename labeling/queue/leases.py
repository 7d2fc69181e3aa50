"""Leases: held, renewed, given back, and taken back once they ran out."""

import json
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from labeling.feedback import AnswerError
from labeling.models import Assignment, Project, Task

LONGEST_REASON = 200
LARGEST_DRAFT = 100_000
"""The most bytes of a draft as JSON."""


class LeaseLost(Exception):  # noqa: N818 - what happened, not a mistake
    """The assignment is no longer held: it ran out, was skipped, given back, or answered already."""

    def __init__(
        self, line: str = "The task is no longer yours: its lease ran out or it was answered already."
    ) -> None:
        super().__init__(line)


def skip(assignment: Assignment, *, reason: str = "") -> None:
    """Leave a task to others; it is not offered to this annotator again. Raises LeaseLost."""
    kept = reason.replace("\x00", "")[:LONGEST_REASON]
    _give_back(assignment, Assignment.State.SKIPPED, skip_reason=kept, draft=None)


def release(assignment: Assignment) -> None:
    """Give a task back unanswered, its draft kept; the same annotator may be offered it again.

    Raises LeaseLost.
    """
    _give_back(assignment, Assignment.State.RELEASED)


def release_all(*, annotator: User, project: Project | None = None) -> int:
    """Give back what this person holds, everywhere as when they sign out, or in one project.

    Returns how many tasks.
    """
    held = Assignment.objects.leased().filter(annotator=annotator)
    if project is not None:
        held = held.filter(project=project)
    released = 0
    # One transaction each: two that lock several tasks, in two orders, would wait for each other.
    for assignment in held:
        try:
            release(assignment)
        except LeaseLost:
            continue
        released += 1
    return released


def renew(assignment: Assignment) -> bool:
    """Hold a leased task for the project's lease time from now. False if the lease is lost."""
    held = Assignment.objects.leased().filter(pk=assignment.pk)
    return bool(held.update(lease_until=lease_end(assignment.project)))


def save_draft(assignment: Assignment, draft: dict[str, Any]) -> bool:
    """Keep the unfinished answer to a leased task, and renew the lease. False if the lease is lost.

    The draft is the page's own; nothing reads it but the page. Raises AnswerError if it cannot be kept.
    """
    try:
        text = json.dumps(draft, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except (ValueError, TypeError, RecursionError):  # not a number, half a character
        raise AnswerError("draft: not JSON that can be kept.") from None
    # PostgreSQL keeps no NUL; a backslash that somebody typed before "u0000" is none.
    if not isinstance(draft, dict) or "\\u0000" in text.replace("\\\\", ""):
        raise AnswerError("draft: a JSON object of plain text and numbers is wanted.")
    if size > LARGEST_DRAFT:
        raise AnswerError(f"draft: {size} bytes, but at most {LARGEST_DRAFT} are kept.")
    held = Assignment.objects.leased().filter(pk=assignment.pk)
    return bool(held.update(draft=draft, lease_until=lease_end(assignment.project)))


def expire() -> int:
    """Take back the leases that ran out and open their places again. Returns how many.

    One process at a time sweeps (others return 0), so that two never lock the same tasks crosswise.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(EXPIRE, {"lock": EXPIRE_LOCK})
        return int(cursor.fetchone()[0])


def held_by(annotator: User, project: Project) -> Assignment | None:
    """The annotator's leased task, its lease renewed. One that ran out is theirs until it is swept."""
    held = Assignment.objects.leased().filter(annotator=annotator, project=project)
    if not held.update(lease_until=lease_end(project)):
        return None
    return held.select_related("task__prompt", "project", "annotator").first()


def finish(assignment: Assignment, state: Assignment.State, **changes: Any) -> bool:
    """Move a leased assignment on; False if it is not leased any more."""
    held = Assignment.objects.leased().filter(pk=assignment.pk)
    if not held.update(state=state, finished=Now(), **changes):
        return False
    assignment.state = state
    return True


def lease_end(project: Project) -> Any:
    """When a lease taken or renewed now runs out, by the database's clock."""
    return Now() + timedelta(minutes=project.lease_minutes)


def _give_back(assignment: Assignment, state: Assignment.State, **changes: Any) -> None:
    with transaction.atomic():
        if not finish(assignment, state, **changes):
            raise LeaseLost
        Task.objects.filter(pk=assignment.task_id).update(open=F("open") + 1)


EXPIRE_LOCK = 0x686F6E65  # any number that nothing else locks
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
    -- In the order in which all lock tasks, so that nobody waits crosswise.
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
