"""The queue: who gets which task, for how long, and what an answer needs to be stored.

PostgreSQL keeps it right. A task's `open` is the number of places nobody holds; every way of taking or
giving back a place is one statement that changes the assignment and the task together, on the condition
that the assignment is still in the state expected. If it is not, somebody else got there first.
"""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from labeling.feedback import Answer, AnswerError
from labeling.models import Annotation, Assignment, Cursor, Project
from labeling.models.assignments import BEFORE_ALL_PRIORITIES

LONGEST_CLIENT_KEY = 64
LONGEST_REASON = 200


class LeaseLost(Exception):  # noqa: N818 - what happened, not a mistake
    """The assignment is no longer held: it ran out, was skipped, given back, or answered already."""


def claim(*, annotator: User, project: Project) -> Assignment | None:
    """The annotator's next task in this project, leased; None if there is none for them now.

    Whoever holds a task already gets the same one again with its lease renewed, so two tabs show one task;
    and whoever lost a lease gets that task back first, unless others have taken all its places.
    """
    if not project.is_active:
        return None
    held = _held(annotator, project)
    if held is None:
        expire()
        with transaction.atomic():
            after = _lock_cursor(annotator, project)
            held = _held(annotator, project) or _next(annotator, project, after)
    return held


def submit(assignment: Assignment, answer: Answer, *, client_key: str) -> Annotation:
    """Store an answer to a leased task.

    Retries of one submit carry the same `client_key` and get the stored answer back. Raises AnswerError
    (nothing is stored, the lease stays) or LeaseLost. A lease that ran out still counts until the place
    has been given to the queue again.
    """
    if not 1 <= len(client_key) <= LONGEST_CLIENT_KEY or "\x00" in client_key:
        raise AnswerError(f"client_key: 1 to {LONGEST_CLIENT_KEY} characters are wanted.")
    verdicts = assignment.project.verdicts(answer, len(assignment.shown_order))
    with transaction.atomic():
        if _finish(assignment, Assignment.State.SUBMITTED):
            return Annotation.record(assignment, answer, verdicts, client_key=client_key)
        stored = Annotation.objects.filter(assignment=assignment, client_key=client_key).first()
    if stored is None:
        raise LeaseLost("The task is no longer yours: its lease ran out or it was answered already.")
    return stored


def skip(assignment: Assignment, *, reason: str = "") -> None:
    """Leave a task to others; it is not offered to this annotator again. Raises LeaseLost."""
    _give_back(assignment, Assignment.State.SKIPPED, reason=reason)


def release(assignment: Assignment) -> None:
    """Give a task back unanswered; the same annotator may be offered it again. Raises LeaseLost."""
    _give_back(assignment, Assignment.State.RELEASED)


def renew(assignment: Assignment) -> bool:
    """Hold a leased task for the project's lease time from now. False if the lease is lost."""
    held = Assignment.objects.leased().filter(pk=assignment.pk)
    return bool(held.update(lease_until=_lease_end(assignment.project)))


def expire() -> int:
    """Take back the leases that ran out and open their places again. Returns how many.

    One process at a time sweeps (others return 0), so that two never lock the same tasks crosswise.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(EXPIRE, {"lock": EXPIRE_LOCK})
        return int(cursor.fetchone()[0])


def _lock_cursor(annotator: User, project: Project) -> tuple[int, int]:
    """Where the annotator's next claim starts; other claims of theirs wait until this one is done."""
    rows = Cursor.objects.select_for_update().filter(annotator=annotator, project=project)
    row = rows.first()
    if row is None:
        # Another tab may make it at the same moment: then this one waits for it.
        Cursor.objects.bulk_create([Cursor(annotator=annotator, project=project)], ignore_conflicts=True)
        row = rows.get()
    return row.priority, row.after


def _held(annotator: User, project: Project) -> Assignment | None:
    """The annotator's leased task, its lease renewed. One that ran out is theirs until it is swept."""
    held = Assignment.objects.leased().filter(annotator=annotator, project=project)
    if not held.update(lease_until=_lease_end(project)):
        return None
    return held.select_related("task__prompt", "project", "annotator").first()


def _next(annotator: User, project: Project, after: tuple[int, int]) -> Assignment | None:
    """A task the annotator does not hold yet: one they lost, or the next, or the first behind the wrap."""
    lost = (
        Assignment.objects.filter(annotator=annotator, project=project)
        .filter(state__in=Assignment.OFFERED_AGAIN, task__open__gt=0)
        .order_by("-finished")
        .values_list("task__priority", "task_id")
        .first()
    )
    key = None
    if lost is not None:
        key = _take(annotator, project, (lost[0], lost[1] - 1))
    if key is None:
        key = _take(annotator, project, after)
    if key is None and after != (BEFORE_ALL_PRIORITIES, 0):
        key = _take(annotator, project, (BEFORE_ALL_PRIORITIES, 0))
    if key is None:
        return None
    return Assignment.objects.select_related("task__prompt", "project", "annotator").get(pk=key)


def _take(annotator: User, project: Project, after: tuple[int, int]) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM,
            {
                "annotator": annotator.pk,
                "project": project.pk,
                "priority": after[0],
                "after": after[1],
                "lease_minutes": project.lease_minutes,
            },
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _finish(assignment: Assignment, state: Assignment.State, **changes: Any) -> bool:
    """Move a leased assignment on; False if it is not leased any more."""
    held = Assignment.objects.leased().filter(pk=assignment.pk)
    if not held.update(state=state, finished=Now(), **changes):
        return False
    assignment.state = state
    return True


def _give_back(assignment: Assignment, state: Assignment.State, *, reason: str = "") -> None:
    with transaction.atomic():
        if not _finish(assignment, state, skip_reason=reason.replace("\x00", "")[:LONGEST_REASON]):
            raise LeaseLost("The task is no longer yours: its lease ran out or it was answered already.")
        type(assignment.task).objects.filter(pk=assignment.task_id).update(open=F("open") + 1)


def _lease_end(project: Project) -> Any:
    return Now() + timedelta(minutes=project.lease_minutes)


# A place is free for everybody who does not hold, has not answered and has not skipped the task. An
# assignment that expired or was released is taken up again, with the order in which it was first shown.
CLAIM = """
WITH picked AS (
    SELECT task.id, task.priority
    FROM labeling_task AS task
    WHERE task.project_id = %(project)s
      AND task.open > 0
      AND task.kind = 'ordinary'
      AND (task.priority, task.id) > (%(priority)s, %(after)s)
      AND NOT EXISTS (
          SELECT FROM labeling_assignment AS theirs
          WHERE theirs.task_id = task.id
            AND theirs.annotator_id = %(annotator)s
            AND theirs.state IN ('leased', 'submitted', 'skipped')
      )
    ORDER BY task.priority, task.id
    LIMIT 1
    FOR NO KEY UPDATE OF task SKIP LOCKED
), taken AS (
    UPDATE labeling_task AS task
    SET open = task.open - 1
    FROM picked
    WHERE task.id = picked.id
    RETURNING task.id, task.priority
), moved AS (
    UPDATE labeling_cursor AS place
    SET priority = taken.priority, after = taken.id
    FROM taken
    WHERE place.annotator_id = %(annotator)s AND place.project_id = %(project)s
)
INSERT INTO labeling_assignment
    (task_id, project_id, annotator_id, state, shown_order, lease_until, claimed, skip_reason)
SELECT
    taken.id, %(project)s, %(annotator)s, 'leased',
    ARRAY(SELECT sample_id FROM labeling_tasksample WHERE task_id = taken.id ORDER BY random()),
    now() + make_interval(mins => %(lease_minutes)s), now(), ''
FROM taken
ON CONFLICT (task_id, annotator_id) DO UPDATE
SET state = 'leased', lease_until = EXCLUDED.lease_until, claimed = EXCLUDED.claimed, finished = NULL
RETURNING id
"""

EXPIRE_LOCK = 0x686F6E65  # any number that nothing else locks
EXPIRE = """
WITH swept AS (
    SELECT pg_try_advisory_xact_lock(%(lock)s) AS alone
), lapsed AS (
    SELECT assignment.id
    FROM labeling_assignment AS assignment
    WHERE (SELECT alone FROM swept)
      AND assignment.state = 'leased' AND assignment.lease_until <= now()
    ORDER BY assignment.lease_until
    LIMIT 500
    FOR UPDATE OF assignment SKIP LOCKED
), expired AS (
    UPDATE labeling_assignment AS assignment
    SET state = 'expired', finished = now()
    FROM lapsed
    WHERE assignment.id = lapsed.id
    RETURNING assignment.task_id
), opened AS (
    UPDATE labeling_task AS task
    SET open = task.open + freed.places
    FROM (SELECT task_id, count(*) AS places FROM expired GROUP BY task_id) AS freed
    WHERE task.id = freed.task_id
)
SELECT count(*) FROM expired
"""
