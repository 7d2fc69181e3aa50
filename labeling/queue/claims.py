"""Claims: which task somebody is given next."""

import random
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Case, Exists, F, PositiveSmallIntegerField, Q, Value, When
from django.db.models.functions import Now

from labeling.control_tasks import REPEAT_APART, REPEAT_REACH, draw, next_training
from labeling.models import Assignment, Cursor, Project, Task
from labeling.models.assignments import BEFORE_ALL_PRIORITIES
from labeling.queue.claim_query import CLAIM
from labeling.queue.leases import LeaseLost, expire, held_by, lease_end, release
from labeling.queue.limits import limit_reached

LOST_REMEMBERED = 20
"""How many of the tasks that somebody lost last come back before all others."""


def claim(*, annotator: User, project: Project, checks: bool = True) -> Assignment | None:
    """The annotator's next task in this project, leased; None if there is none for them now.

    Whoever holds a task already gets the same one again with its lease renewed, so two tabs show one task;
    and whoever lost a lease gets that task back first, unless others have taken all its places. With
    `checks`, people first learn from the project's training tasks, and by chance a task is gold or one of
    their own again; simulated people go without.
    """
    if not project.is_active:
        return None
    held = held_by(annotator, project)
    if held is None:
        expire()
        with transaction.atomic():
            place = _lock_cursor(annotator, project)
            held = held_by(annotator, project) or _next(annotator, project, place, checks=checks)
    return held


def claim_task(*, annotator: User, task: Task) -> Assignment:
    """This very task, leased to this person: for somebody who has the last word on it.

    Where others have all places, one more is asked for and taken at once. What the person holds in the
    project is given back first, its draft kept; a task they have answered comes as it is, submitted.
    """
    if task.kind != Task.Kind.ORDINARY:
        raise ValueError(f"{task} is no ordinary one: nobody has the last word on it.")
    with transaction.atomic():
        _lock_cursor(annotator, task.project)
        theirs = Assignment.objects.select_for_update().filter(task=task, annotator=annotator).first()
        if theirs is not None and theirs.state == Assignment.State.SUBMITTED:
            return theirs
        return _lease(annotator, task, one_more=True)


def take_again(assignment: Assignment) -> Assignment:
    """Take up a task that this person skipped or lost. Raises LeaseLost if others have its places by now.

    What they hold in the project is given back first, its draft kept: it comes next.
    """
    annotator, project = assignment.annotator, assignment.project
    with transaction.atomic():
        _lock_cursor(annotator, project)
        # Locked before it is judged: another tab may be answering it this moment.
        now = Assignment.objects.select_for_update().filter(pk=assignment.pk).first()
        if now is None:
            raise LeaseLost("What you answered in this project was deleted.")
        if now.state == Assignment.State.SUBMITTED:
            raise LeaseLost("The task is answered: its answer can be changed.")
        welcome = Project.objects.for_annotator(annotator).filter(pk=project.pk).exists()
        if not now.is_leased and (not welcome or limit_reached(annotator=annotator, project=project)):
            raise LeaseLost("The project has no more tasks for you now.")
        return _lease(annotator, now.task)


class _Place(NamedTuple):
    """How far down the queue somebody is, and whether they must still learn."""

    priority: int
    after: int
    learns: bool


def _lock_cursor(annotator: User, project: Project) -> _Place:
    """Where the annotator's next claim starts; other claims of theirs wait until this one is done."""
    training = Task.objects.filter(project=project, kind=Task.Kind.TRAINING)
    rows = (
        Cursor.objects.select_for_update()
        .filter(annotator=annotator, project=project)
        .values_list(
            "priority",
            "after",
            Case(When(qualified=None, then=Exists(training)), default=Value(value=False)),
        )
    )
    row = rows.first()
    if row is None:
        # Another tab may make it at the same moment: then this one waits for it.
        Cursor.objects.bulk_create([Cursor(annotator=annotator, project=project)], ignore_conflicts=True)
        row = rows.get()
    return _Place(*row)


def _next(annotator: User, project: Project, place: _Place, *, checks: bool) -> Assignment | None:
    """A task the annotator does not hold yet: one they lost, or the next, or the first behind the wrap."""
    if limit_reached(annotator=annotator, project=project):
        return None
    if checks and place.learns:
        lesson = next_training(annotator=annotator, project=project)
        if lesson is not None:
            return _lease(annotator, lesson)
        Cursor.objects.filter(annotator=annotator, project=project).update(qualified=Now())
    drawn = draw(project) if checks else ""
    beginning = (BEFORE_ALL_PRIORITIES, 0)
    key = _take(annotator, project, place[:2], drawn=drawn, checks=checks)
    if key is None and place[:2] != beginning:
        key = _take(annotator, project, beginning, drawn=drawn, checks=checks)
    if key is None:
        return None
    return Assignment.objects.select_related("task__prompt", "project", "annotator").get(pk=key)


def _take(
    annotator: User, project: Project, after: tuple[int, int], *, drawn: str, checks: bool
) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(
            CLAIM,
            {
                "annotator": annotator.pk,
                "project": project.pk,
                "priority": after[0],
                "after": after[1],
                "lease_minutes": project.lease_minutes,
                "remembered": LOST_REMEMBERED,
                "checks": checks,
                "draw": drawn,
                "apart": REPEAT_APART,
                "reach": REPEAT_REACH,
            },
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _lease(annotator: User, task: Task, *, one_more: bool = False) -> Assignment:
    """Lease this very task, behind the annotator's lock; with `one_more`, beside all who were asked.

    A place that an answer has is kept: that of a training task answered wrongly. Raises LeaseLost if no
    place is left.
    """
    project = task.project
    # Locked, so that another tab neither answers nor leaves what is being looked at.
    locked = Assignment.objects.select_for_update().filter(annotator=annotator, project=project)
    rows = list(locked.filter(Q(task=task) | Q(state=Assignment.State.LEASED)).order_by("pk"))
    theirs = next((row for row in rows if row.task_id == task.pk), None)
    others = [row for row in rows if row.task_id != task.pk]
    # Always in one order: two people who change places would wait for each other.
    involved = Task.objects.filter(pk__in=[task.pk, *(other.task_id for other in others)])
    list(involved.select_for_update(no_key=True).order_by("pk"))
    for other in others:
        release(other)
    if theirs is None or theirs.state not in {Assignment.State.LEASED, Assignment.State.SUBMITTED}:
        _take_place(task, one_more=one_more)
    lease = {"state": Assignment.State.LEASED, "lease_until": lease_end(project), "claimed": Now()}
    if theirs is None:
        order = list(task.places.values_list("sample_id", flat=True))
        random.shuffle(order)
        theirs = Assignment.objects.create(
            task=task, project=project, annotator=annotator, shown_order=order, **lease
        )
    elif not theirs.is_leased:
        changes = lease | {"finished": None, "skip_reason": ""}
        Assignment.objects.filter(pk=theirs.pk).update(**changes)
    leased = held_by(annotator, project)
    assert leased is not None  # nobody else takes it from behind these locks
    return leased


def _take_place(task: Task, *, one_more: bool) -> None:
    tasks = Task.objects.filter(pk=task.pk)
    if one_more:
        # One statement: a place that opens meanwhile is taken instead.
        full, places = Q(open=0), PositiveSmallIntegerField()
        tasks.update(
            need=Case(When(full, then=F("need") + 1), default=F("need"), output_field=places),
            open=Case(When(full, then=F("open")), default=F("open") - 1, output_field=places),
        )
    elif not tasks.filter(open__gt=0).update(open=F("open") - 1):
        raise LeaseLost("Others have taken the task in the meantime.")
