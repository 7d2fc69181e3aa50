"""Start, pause, cancel, resume and recover runs: shared by commands, admin and API."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db import transaction
from django.db.models.functions import Now
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued

from labeling.models import PreferenceSnapshot
from training import artifacts
from training.forms import FORMS
from training.forms.base import RunForm, lock_names, next_free_name
from training.models import Run

EXECUTE_TASK = "training.jobs.execute"
QUEUE = "runs"


class NotResumable(Exception):  # noqa: N818 -- a refusal, in one line for the person who asked
    """A run cannot be resumed; the message says why."""


def start(
    form: RunForm,
    *,
    owner: User | AnonymousUser | None = None,
    detached: bool = True,
    snapshot: PreferenceSnapshot | None = None,
) -> Run:
    """Create a run from a valid form, and queue it for a worker unless the caller executes it.

    The name of its version is reserved from now on.
    """
    parameters = form.parameters()
    with transaction.atomic():
        reserve_name(parameters)
        run = Run.objects.create(
            kind=form.kind,
            parameters=parameters,
            owner=owner if isinstance(owner, User) else None,
            detached=detached,
            snapshot=snapshot,
            **form.related_objects(),
        )
        if detached:
            wake_worker(run)
    return run


def reserve_name(parameters: dict[str, Any], *, besides: Run | None = None) -> None:
    """Keep the name of the version to come for the run that is saved with these parameters.

    Until the transaction ends, no other run gets a name. If this one was taken meanwhile, except by the run
    `besides`, it becomes the next free one.
    """
    if name := parameters.get("name"):
        lock_names()
        parameters["name"] = next_free_name(name, besides=besides)


def form_for(kind: str, data: dict[str, Any], *, user: User | AnonymousUser | None = None) -> RunForm:
    """The bound form of a kind of run; `data` holds plain values by field name.

    With a `user`, it accepts only projects and versions that they have access to.
    """
    return FORMS[kind](data, user=user)


def queueing_lock(pk: int) -> str:
    """The queueing lock of a run's jobs: at most one of them waits in the queue."""
    return f"run-{pk}"


def wake_worker(run: Run) -> None:
    """Queue a job for the run, unless one is waiting. A superfluous job finds nothing to do."""
    lock = queueing_lock(run.pk)
    if ProcrastinateJob.objects.filter(queueing_lock=lock, status="todo").exists():
        return
    task = app.configure_task(EXECUTE_TASK, queue=QUEUE, queueing_lock=lock)
    try:
        # In a savepoint: the rejection of a second waiting job must not abort the caller's transaction.
        with transaction.atomic():
            task.defer(run_id=run.pk)
    except AlreadyEnqueued:
        pass


def cancel(run: Run) -> bool:
    """Cancel a run: at once if it is queued, at its next step if it is running. False if it has ended."""
    idle = Run.objects.filter(pk=run.pk, status__in=(Run.Status.QUEUED, Run.Status.PAUSED))
    changed = idle.update(status=Run.Status.CANCELLED, cancel_requested=True, finished_at=Now())
    running = Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING)
    changed = changed or running.update(cancel_requested=True)
    run.refresh_from_db()
    return bool(changed)


def pause(run: Run) -> bool:
    """Pause a run until it is resumed: at once if it is queued, at its next step if it is running.

    It continues from the state it saves then; kinds of runs that save no state start over. False if it was
    not active, or is being cancelled.
    """
    changed = Run.objects.filter(pk=run.pk, status=Run.Status.QUEUED, cancel_requested=False).update(
        status=Run.Status.PAUSED
    )
    running = Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING, cancel_requested=False)
    changed = changed or running.update(pause_requested=True)
    run.refresh_from_db()
    return bool(changed)


def resume(run: Run, *, detached: bool = True) -> None:
    """Queue a paused, cancelled or failed run again. It continues from its saved state, or starts over.

    With `detached=False` no worker is woken: the caller executes it. If the name of its version was taken
    meanwhile, it gets the next free one. Raises NotResumable.
    """
    with transaction.atomic():
        row = Run.objects.resumable().select_for_update(of=("self",)).filter(pk=run.pk).first()
        if row is not None:
            row.status, row.detached, row.error = Run.Status.QUEUED, detached, ""
            row.cancel_requested = row.pause_requested = False
            row.finished_at = row.announced_at = row.seen_at = None
            reserve_name(row.parameters, besides=row)
            row.save()
            if detached:
                wake_worker(row)
    run.refresh_from_db()
    if row is None:
        raise NotResumable(f"{run} {not_resumable_reason(run)}")


def not_resumable_reason(run: Run) -> str:
    """Why the run cannot be resumed, as the rest of a sentence that starts with its name."""
    if run.status == Run.Status.SUCCEEDED:
        return "has succeeded: there is nothing to resume."
    if run.is_active:
        return (
            f"is {run.get_status_display().lower()}: only paused, cancelled and failed runs can be resumed."
        )
    return "has no saved state to resume from: start it again."


def recover_dead_runs() -> int:
    """Requeue the runs of dead processes, and make sure that each queued run has a job.

    Returns the number of dead runs. Runs of a killed command have no process to continue them: they fail.
    """
    dead = 0
    for run in Run.objects.without_heartbeat():
        if run.cancel_requested:
            ended = run.finish(Run.Status.CANCELLED)
        elif run.pause_requested:
            ended = run.finish(Run.Status.PAUSED)
        elif run.detached:
            ended = run.release()
        else:
            ended = run.finish(Run.Status.FAILED, error="The command that executed this run was killed.")
        if ended:
            artifacts.collect_unpublished(run)
        dead += ended
    for run in Run.objects.filter(status=Run.Status.QUEUED, detached=True):
        wake_worker(run)
    return dead
