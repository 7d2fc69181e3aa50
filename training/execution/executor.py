"""Execute a run of any kind from beginning to end, for commands and the worker alike."""

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
from training.execution.json_safe import json_safe
from training.execution.result import RunResult
from training.gpt.errors import InputError
from training.models import ModelVersion, Run

logger = logging.getLogger(__name__)

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
            run.finish(Run.Status.FAILED, error=str(error))
            if not run.detached and run.saved_step is None and not run.points.exists():
                # Invalid input, which the command reports: the row is not worth keeping.
                run.delete()
        except MemoryError:
            run.finish(Run.Status.FAILED, error="Out of memory: try a smaller batch_size or preset.")
        except Exception as error:
            logger.exception("%s failed", run)
            run.finish(Run.Status.FAILED, error=f"{type(error).__name__}: {error}")
    # Decided by the row alone: a late heartbeat may have found the run ended and set LOST.
    if not run.is_active and not run.is_resumable:
        run.remove_folder()
    if following is not None and not following.detached:
        execute(following, observer=observer, on_attempt=on_attempt)
    return run.status == Run.Status.SUCCEEDED


def end_stopped_attempt(run: Run, attempt: Attempt) -> None:
    """End an attempt that was asked to stop."""
    if attempt.stop_reason is not StopReason.LOST:
        attempt.flush()
    run.refresh_from_db(fields=["cancel_requested"])
    if attempt.stop_reason is StopReason.INTERRUPTED and run.detached:
        run.release()
    elif attempt.stop_reason is StopReason.PAUSED and not run.cancel_requested:
        run.finish(Run.Status.PAUSED)
    elif attempt.stop_reason is not StopReason.LOST:
        run.finish(Run.Status.CANCELLED)


def save_result(run: Run, outcome: RunResult) -> Run | None:
    """Save the result of a run in one transaction; returns the run that follows, if any."""
    place = digest = ""
    metrics = json_safe(outcome.metrics)
    name = run.parameters.get("name", "")
    if outcome.version is not None:
        place, digest = artifacts.store(outcome.version.folder, name=name)
    try:
        with transaction.atomic():
            version = None
            if outcome.version is not None:
                version = ModelVersion.objects.publish(
                    name=name,
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
    except BaseException:
        if place:
            artifacts.discard(place)
        raise


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
