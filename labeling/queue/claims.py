"""Claims: which task an annotator gets next."""

import random
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.db.models import Case, Exists, F, PositiveSmallIntegerField, Q, Value, When
from django.db.models.functions import Now

from labeling.control_tasks import MIN_REPEAT_DISTANCE, REPEAT_WINDOW, draw_task_kind, next_training_task
from labeling.models import Assignment, Cursor, Project, Task
from labeling.models.assignments import MIN_PRIORITY
from labeling.queue.claim_query import CLAIM
from labeling.queue.leases import LeaseLost, expire, held_assignment, lease_end, release
from labeling.queue.limits import reached_limit

MAX_LOST_TASKS = 20
"""How many of the tasks that somebody lost last come back before all others."""


def claim(*, annotator: User, project: Project, control_tasks: bool = True) -> Assignment | None:
    """Lease the annotator's next task in this project; None if there is none for them now.

    An annotator who already holds a task gets the same one with its lease renewed, so two tabs show one task.
    One who lost a lease gets that task first, unless others have taken all its slots. With `control_tasks`,
    training tasks come first, and tasks may be gold or repeats; simulated annotators go without.
    """
    if not project.is_active:
        return None
    held = held_assignment(annotator, project)
    if held is None:
        expire()
        with transaction.atomic():
            position = _lock_cursor(annotator, project)
            held = held_assignment(annotator, project) or _claim_next(
                annotator, project, position, control_tasks=control_tasks
            )
    return held


def claim_task(*, annotator: User, task: Task) -> Assignment:
    """Lease a given task to a reviewer who adjudicates it.

    If no slot is open, one more is added. A task that the person holds in the project is released first, with
    its draft; an assignment they have already submitted is returned as it is.
    """
    if task.kind != Task.Kind.ORDINARY:
        raise ValueError(f"{task} is not an ordinary task: it cannot be adjudicated.")
    with transaction.atomic():
        _lock_cursor(annotator, task.project)
        theirs = Assignment.objects.select_for_update().filter(task=task, annotator=annotator).first()
        if theirs is not None and theirs.state == Assignment.State.SUBMITTED:
            return theirs
        return _lease_task(annotator, task, extra_slot=True)


def reclaim(assignment: Assignment) -> Assignment:
    """Lease a task again that this person skipped or lost. Raises LeaseLost if no slot is open any more.

    A task they hold in the project is released first, with its draft, and comes next.
    """
    annotator, project = assignment.annotator, assignment.project
    with transaction.atomic():
        _lock_cursor(annotator, project)
        # Locked first: another tab may be answering it at this moment.
        now = Assignment.objects.select_for_update().filter(pk=assignment.pk).first()
        if now is None:
            raise LeaseLost("Your answers in this project were deleted.")
        if now.state == Assignment.State.SUBMITTED:
            raise LeaseLost("You have already answered this task; you can change your answer.")
        can_label = Project.objects.for_annotator(annotator).filter(pk=project.pk).exists()
        if not now.is_leased and (not can_label or reached_limit(annotator=annotator, project=project)):
            raise LeaseLost("The project has no more tasks for you now.")
        return _lease_task(annotator, now.task)


class _CursorPosition(NamedTuple):
    """An annotator's position in the queue, and whether training tasks come first."""

    priority: int
    after: int
    needs_training: bool


def _lock_cursor(annotator: User, project: Project) -> _CursorPosition:
    """Lock and return the annotator's cursor: their other claims wait until this one is done."""
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
        # Another tab may create it at the same moment: then this one waits for it.
        Cursor.objects.bulk_create([Cursor(annotator=annotator, project=project)], ignore_conflicts=True)
        row = rows.get()
    return _CursorPosition(*row)


def _claim_next(
    annotator: User, project: Project, position: _CursorPosition, *, control_tasks: bool
) -> Assignment | None:
    """Lease a new task: one they lost, or the next one, wrapping around at the end of the queue."""
    if reached_limit(annotator=annotator, project=project):
        return None
    if control_tasks and position.needs_training:
        training_task = next_training_task(annotator=annotator, project=project)
        if training_task is not None:
            return _lease_task(annotator, training_task)
        Cursor.objects.filter(annotator=annotator, project=project).update(qualified=Now())
    kind = draw_task_kind(project) if control_tasks else ""
    beginning = (MIN_PRIORITY, 0)
    key = _run_claim_query(annotator, project, position[:2], kind=kind, control_tasks=control_tasks)
    if key is None and position[:2] != beginning:
        key = _run_claim_query(annotator, project, beginning, kind=kind, control_tasks=control_tasks)
    if key is None:
        return None
    return Assignment.objects.select_related("task__prompt", "project", "annotator").get(pk=key)


def _run_claim_query(
    annotator: User, project: Project, after: tuple[int, int], *, kind: str, control_tasks: bool
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
                "remembered": MAX_LOST_TASKS,
                "control_tasks": control_tasks,
                "draw": kind,
                "apart": MIN_REPEAT_DISTANCE,
                "reach": REPEAT_WINDOW,
            },
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])


def _lease_task(annotator: User, task: Task, *, extra_slot: bool = False) -> Assignment:
    """Lease a given task, with the annotator's cursor locked; with `extra_slot`, add a slot if none is open.

    A submitted assignment, of a training task answered wrongly, keeps its slot. Raises LeaseLost if no slot
    is open.
    """
    project = task.project
    # Locked, so that another tab neither submits nor releases them meanwhile.
    locked = Assignment.objects.select_for_update().filter(annotator=annotator, project=project)
    rows = list(locked.filter(Q(task=task) | Q(state=Assignment.State.LEASED)).order_by("pk"))
    theirs = next((row for row in rows if row.task_id == task.pk), None)
    others = [row for row in rows if row.task_id != task.pk]
    # Always locked in the same order, to avoid deadlocks.
    involved = Task.objects.filter(pk__in=[task.pk, *(other.task_id for other in others)])
    list(involved.select_for_update(no_key=True).order_by("pk"))
    for other in others:
        release(other)
    if theirs is None or theirs.state not in {Assignment.State.LEASED, Assignment.State.SUBMITTED}:
        _take_slot(task, extra_slot=extra_slot)
    lease = {"state": Assignment.State.LEASED, "lease_until": lease_end(project), "claimed": Now()}
    if theirs is None:
        order = list(task.task_samples.values_list("sample_id", flat=True))
        random.shuffle(order)
        theirs = Assignment.objects.create(
            task=task, project=project, annotator=annotator, shown_order=order, **lease
        )
    elif not theirs.is_leased:
        changes = lease | {"finished": None, "skip_reason": ""}
        Assignment.objects.filter(pk=theirs.pk).update(**changes)
    leased = held_assignment(annotator, project)
    assert leased is not None  # nobody else takes it from behind these locks
    return leased


def _take_slot(task: Task, *, extra_slot: bool) -> None:
    tasks = Task.objects.filter(pk=task.pk)
    if extra_slot:
        # One statement: a slot that opens in the meantime is taken instead.
        full, places = Q(open=0), PositiveSmallIntegerField()
        tasks.update(
            need=Case(When(full, then=F("need") + 1), default=F("need"), output_field=places),
            open=Case(When(full, then=F("open")), default=F("open") - 1, output_field=places),
        )
    elif not tasks.filter(open__gt=0).update(open=F("open") - 1):
        raise LeaseLost("Others have taken this task in the meantime.")
