"""Execute a run of any kind from beginning to end, for commands and the worker alike."""

import errno
import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from django.db import transaction

from training import artifacts, runs
from training.artifacts import ArtifactError
from training.endpoints.errors import EndpointError
from training.execution.attempt import Attempt, HelperAttempt, Observer, Stopped, StopReason, no_observer
from training.execution.code_version import code_version
from training.execution.database_retries import retry_while_database_is_away
from training.execution.json_safe import json_safe
from training.execution.result import RunResult
from training.gpt.errors import InputError
from training.models import ModelVersion, Run

logger = logging.getLogger(__name__)

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

Executor = Callable[[Run, Attempt, Path], RunResult]
OnAttempt = Callable[[Attempt], object]


def executor_for(kind: str) -> Executor:
    """The `execute(run, attempt, folder)` of the module named after the kind of run."""
    execute: Executor = import_module(f"training.execution.{kind}").execute
    return execute


def supports_torchrun(kind: str) -> bool:
    """Whether torchrun can execute a run of this kind: its module has an `execute_as_helper`."""
    return hasattr(import_module(f"training.execution.{kind}"), "execute_as_helper")


def execute_as_helper(helping: HelperAttempt) -> None:
    """Help to execute a run in a process that torchrun started besides the first."""
    run = helping.run
    import_module(f"training.execution.{run.kind}").execute_as_helper(run, helping, run.folder)


def execute(run: Run, *, observer: Observer = no_observer, on_attempt: OnAttempt = lambda _: None) -> bool:
    """Execute a queued run, and a run that follows from it unless that is detached.

    It works in the run's folder, and continues from the state that an earlier attempt saved there.
    `on_attempt` receives the attempt before the work begins, so that signals can stop it. The result is
    written to the run's row. Returns True if the run succeeded, False if not or if another process has it.
    """
    if not run.begin(code_version=code_version()):
        return False
    artifacts.collect_unpublished(run)  # of an attempt that was killed
    with Attempt(run, observer=observer) as attempt:
        on_attempt(attempt)
        following: Run | None = None
        try:
            run.folder.mkdir(parents=True, exist_ok=True)
            outcome = executor_for(run.kind)(run, attempt, run.folder)
            attempt.flush()
            attempt.raise_if_stopped()
            following = save_result(run, outcome)
        except (Stopped, KeyboardInterrupt):
            end_stopped_attempt(run, attempt)
        except (InputError, ArtifactError, EndpointError) as error:
            attempt.flush()
            fail(run, str(error))
            if not run.detached and run.saved_step is None and not run.points.exists():
                # Invalid input, which the command reports: the row is not worth keeping.
                run.delete()
        except MemoryError:
            fail(run, "Out of memory: try a smaller batch_size or preset.")
        except Exception as error:
            logger.exception("%s failed", run)
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                fail(run, "The disk is full: free some space, then resume the run or start it again.")
            else:
                fail(run, f"{type(error).__name__}: {error}")
    # Decided by the row alone: a late heartbeat may have found the run ended and set LOST.
    if not run.is_active and not run.is_resumable:
        run.remove_folder()
    if following is not None and not following.detached:
        execute(following, observer=observer, on_attempt=on_attempt)
    return run.status == Run.Status.SUCCEEDED


def fail(run: Run, error: str) -> None:
    """End the attempt as failed, for this reason."""
    retry_while_database_is_away(lambda: run.finish(Run.Status.FAILED, error=error))


def end_stopped_attempt(run: Run, attempt: Attempt) -> None:
    """End an attempt that was asked to stop."""
    if attempt.stop_reason is not StopReason.LOST:
        attempt.flush()
    retry_while_database_is_away(lambda: run.refresh_from_db(fields=["cancel_requested"]))
    if attempt.stop_reason is StopReason.INTERRUPTED and run.detached:
        retry_while_database_is_away(run.release)
    elif attempt.stop_reason is StopReason.PAUSED and not run.cancel_requested:
        retry_while_database_is_away(lambda: run.finish(Run.Status.PAUSED))
    elif attempt.stop_reason is not StopReason.LOST:
        retry_while_database_is_away(lambda: run.finish(Run.Status.CANCELLED))


def save_result(run: Run, outcome: RunResult) -> Run | None:
    """Save the result of a run in one transaction; returns the run that follows, if any.

    The transaction is repeated if the database goes away. What is stored without a version is removed.
    """
    place = digest = ""
    if outcome.version is not None:
        place, digest = artifacts.store(outcome.version.folder, name=run.parameters["name"], run=run)
    try:
        return retry_while_database_is_away(lambda: record_result(run, outcome, place, digest))
    finally:
        retry_while_database_is_away(lambda: artifacts.collect_unpublished(run))


def record_result(run: Run, outcome: RunResult, place: str, digest: str) -> Run | None:
    """Write the rows of a result, with the stored files of its version if there is one.

    Does nothing if they are there: the database may have gone away right after it wrote them.
    """
    with transaction.atomic():
        metrics = json_safe(outcome.metrics)
        written = Run.objects.filter(pk=run.pk, status=Run.Status.SUCCEEDED, attempts=run.attempts)
        if written.exists():
            run.refresh_from_db()
            return None
        version = None
        if outcome.version is not None:
            runs.reserve_name(run.parameters, besides=run)  # it is, unless rows were made by hand
            Run.objects.filter(pk=run.pk).update(parameters=run.parameters)
            version = ModelVersion.objects.publish(
                name=run.parameters["name"],
                kind=outcome.version.kind,
                parent=outcome.version.parent,
                run=run,
                artifact=place,
                artifact_hash=digest,
                metrics=metrics,
            )
        outcome.record()
        if outcome.snapshot is not None:
            Run.objects.filter(pk=run.pk).update(snapshot=outcome.snapshot)
        if not run.finish(Run.Status.SUCCEEDED, metrics=metrics):
            raise Stopped
        return start_sampling(run, version)


def start_sampling(run: Run, version: ModelVersion | None) -> Run | None:
    """Start the sampling run that the parameter `tasks` asks for, to open tasks with the new version."""
    if version is None or version.kind != ModelVersion.Kind.POLICY or not run.parameters.get("tasks"):
        return None
    form = runs.form_for(
        Run.Kind.SAMPLE,
        {"project": run.parameters["project"], "policy": version.name, "tasks": run.parameters["tasks"]},
    )
    if not form.is_valid():
        logger.warning("%s opened no tasks: %s", run, form.errors.as_text())
        return None
    return runs.start(form, owner=run.owner, detached=run.detached)
