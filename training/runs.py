"""Starting, pausing, cancelling, resuming, mending runs: what the three doors (command, admin, API) share."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.db.models.functions import Now
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued

from labeling.models import PreferenceSnapshot
from training.forms import FORMS
from training.forms.base import RunForm, name_is_taken, next_free_name
from training.models import Run

EXECUTE = "training.jobs.execute"
QUEUE = "runs"


class NotResumable(Exception):  # noqa: N818 -- a refusal, in one line for the person who asked
    """Says why a run cannot be resumed."""


def start(
    form: RunForm,
    *,
    owner: User | AnonymousUser | None = None,
    detached: bool = True,
    snapshot: PreferenceSnapshot | None = None,
) -> Run:
    """Make the run that a valid form asks for, and wake a worker unless the caller executes it himself."""
    with transaction.atomic():
        run = Run.objects.create(
            kind=form.kind,
            parameters=form.parameters(),
            owner=owner if isinstance(owner, User) else None,
            detached=detached,
            snapshot=snapshot,
            **form.related_objects(),
        )
        if detached:
            wake_worker(run)
    return run


def form_for(kind: str, data: dict[str, Any], *, user: User | AnonymousUser | None = None) -> RunForm:
    """The bound form of a kind of run; `data` holds plain values by field name.

    With a `user`, it accepts what they may use: their projects, and the versions that they may see.
    """
    return FORMS[kind](data, user=user)


def lock_of(pk: int) -> str:
    """The queueing lock of a run's jobs: no second one waits while one does."""
    return f"run-{pk}"


def wake_worker(run: Run) -> None:
    """Put a job for the run in the queue. The job is only a wake-up: a second one finds nothing to do."""
    lock = lock_of(run.pk)
    if ProcrastinateJob.objects.filter(queueing_lock=lock, status="todo").exists():
        return
    task = app.configure_task(EXECUTE, queue=QUEUE, queueing_lock=lock)
    try:
        # In a savepoint: the refusal of a second waiting job must not spoil the caller's transaction.
        with transaction.atomic():
            task.defer(run_id=run.pk)
    except AlreadyEnqueued:
        pass


def cancel(run: Run) -> bool:
    """Cancel a run: at once if it waits, at its next step if it is being executed. False if it had ended."""
    idle = Run.objects.filter(pk=run.pk, status__in=(Run.Status.QUEUED, Run.Status.PAUSED))
    waiting = idle.update(status=Run.Status.CANCELLED, cancel_requested=True, finished_at=Now())
    going = Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING)
    told = waiting or going.update(cancel_requested=True)
    run.refresh_from_db()
    return bool(told)


def pause(run: Run) -> bool:
    """Set a run aside until somebody resumes it: at once if it waits, at its next step if it is executed.

    It keeps the state that it saves then; a kind of run that saves none begins anew. False if it was not
    active, or is about to be cancelled.
    """
    waiting = Run.objects.filter(pk=run.pk, status=Run.Status.QUEUED, cancel_requested=False).update(
        status=Run.Status.PAUSED
    )
    going = Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING, cancel_requested=False)
    told = waiting or going.update(pause_requested=True)
    run.refresh_from_db()
    return bool(told)


def resume(run: Run, *, detached: bool = True) -> None:
    """Queue a run that was paused, cancelled or failed, to go on from the state it left, or else anew; or
    leave it to the caller.

    If the name of its version was given away meanwhile, it gets the next free one. Raises NotResumable.
    """
    with transaction.atomic():
        row = Run.objects.resumable().select_for_update(of=("self",)).filter(pk=run.pk).first()
        if row is not None:
            row.status, row.detached, row.error = Run.Status.QUEUED, detached, ""
            row.cancel_requested = row.pause_requested = False
            row.finished_at = row.announced_at = row.seen_at = None
            if (name := row.parameters.get("name")) and name_is_taken(name):
                row.parameters["name"] = next_free_name(name)
            row.save()
            if detached:
                wake_worker(row)
    run.refresh_from_db()
    if row is None:
        raise NotResumable(f"{run} {why_not_resumable(run)}")


def why_not_resumable(run: Run) -> str:
    """What is said, after its name, of a run that cannot be resumed."""
    if run.status == Run.Status.SUCCEEDED:
        return "succeeded: there is nothing left to do."
    if run.is_active:
        return (
            f"is {run.get_status_display().lower()}: only a run that was paused, was cancelled or failed is "
            "resumed."
        )
    return "left no state to go on from: start it again."


def mend() -> int:
    """Give back to the queue what dead processes left, and wake a worker for all that waits.

    Returns how many runs were found dead. A dead foreground run has nobody to take it up again: it failed.
    """
    dead = 0
    for run in Run.objects.without_heartbeat():
        if run.cancel_requested:
            dead += run.finish(Run.Status.CANCELLED)
        elif run.pause_requested:
            dead += run.finish(Run.Status.PAUSED)
        elif run.detached:
            dead += run.release()
        else:
            dead += run.finish(Run.Status.FAILED, error="The command that executed this run was killed.")
    for run in Run.objects.filter(status=Run.Status.QUEUED, detached=True):
        wake_worker(run)
    return dead
