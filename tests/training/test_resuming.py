"""A stopped run resumes from its saved state, with the same result as an uninterrupted one."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.processes import environment, eventually
from tests.training.factories import QUICK_PRETRAIN, execute_run, make_policy, queue_run
from training import artifacts, runs
from training.execution.attempt import Attempt, StopReason
from training.execution.executor import execute
from training.models import HEARTBEAT_TIMEOUT, ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)

QUICK: dict[str, Any] = QUICK_PRETRAIN | {
    "context": 32,
    "batch_size": 2,
    "steps": 12,
    "evaluate_every": 4,
    "evaluation_tokens": 500,
    "device": "cpu",
}


def execute_until(run: Run, step: int, *, reason: StopReason = StopReason.CANCELLED) -> Run:
    """Execute a run and stop it after a number of steps."""
    attempts: list[Attempt] = []

    def observe(progress: float, message: str, metrics: dict[str, float]) -> None:
        if message == f"step {step}":
            attempts[0].stop(reason)

    assert not execute(run, observer=observe, on_attempt=attempts.append)
    run.refresh_from_db()
    return run


def curve(run: Run) -> list[tuple[int, dict[str, float]]]:
    """All that was measured, but for the speed."""
    return [
        (point.step, {name: value for name, value in point.values.items() if name != "tokens_per_second"})
        for point in run.points.all()
    ]


def artifact_of(run: Run) -> str:
    version: ModelVersion = ModelVersion.objects.get(run=run)
    return version.artifact_hash


@contextmanager
def command(home: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A command of the site in a process of its own, on the test's database; it does not outlive the test."""
    # What runs in the background of a shell ignores Ctrl-C, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        signal.signal(signal.SIGINT, before)
        try:
            yield process
        finally:
            process.kill()


def options(parameters: dict[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in parameters.items()]


def test_a_cancelled_run_goes_on_to_the_very_model_it_would_have_made() -> None:
    whole = execute_run(Run.Kind.PRETRAIN, name="whole", **QUICK)
    run = execute_until(queue_run(Run.Kind.PRETRAIN, name="halves", **QUICK), 5)
    assert run.status == Run.Status.CANCELLED
    assert run.saved_step == 5
    assert [step for step, _ in curve(run)] == [0, 1, 2, 3, 4, 5]
    runs.resume(run, detached=False)
    assert execute(run), run.error
    assert curve(run) == curve(whole)
    assert artifact_of(run) == artifact_of(whole)
    assert run.attempts == 2
    assert not run.folder.exists()


def test_an_interrupted_run_of_a_worker_goes_back_to_the_queue_with_its_state() -> None:
    run = execute_until(
        queue_run(Run.Kind.PRETRAIN, name="later", detached=True, **QUICK), 3, reason=StopReason.INTERRUPTED
    )
    assert run.status == Run.Status.QUEUED
    assert run.saved_step == 3
    before = curve(run)
    assert execute(run), run.error
    assert curve(run)[: len(before)] == before
    assert [step for step, _ in curve(run)] == list(range(13))


def test_metrics_measured_after_the_saved_state_are_dropped_and_measured_again() -> None:
    run = execute_until(queue_run(Run.Kind.PRETRAIN, name="small", **QUICK), 5)
    run.points.create(step=9, values={"loss": 99.0})  # as after a kill between two saves
    runs.resume(run, detached=False)
    assert execute(run), run.error
    assert run.points.get(step=9).values["loss"] < 99


def test_an_attempt_that_lost_its_run_saves_nothing_more() -> None:
    run = execute_until(queue_run(Run.Kind.PRETRAIN, name="small", **QUICK), 5, reason=StopReason.LOST)
    assert run.saved_step is None
    assert not (run.folder / "last").exists()


def test_a_run_whose_model_could_not_be_stored_needs_no_second_training() -> None:
    run = queue_run(Run.Kind.PRETRAIN, name="small", **QUICK)
    storage = Path(artifacts.artifact_storage().path(""))
    storage.write_text("not a folder")
    assert not execute(run)
    assert run.status == Run.Status.FAILED
    storage.unlink()
    make_policy("small")
    runs.resume(run, detached=False)
    assert run.parameters["name"] == "small-2"
    assert execute(run), run.error
    assert ModelVersion.objects.get(run=run).name == "small-2"
    assert [step for step, _ in curve(run)] == list(range(13))


def test_what_keeps_no_state_leaves_no_folder_and_cannot_be_resumed() -> None:
    run = queue_run(Run.Kind.EVALUATE, policy=make_policy().name, source="stories", stories=10)
    runs.cancel(run)
    with pytest.raises(runs.NotResumable, match="has no saved state"):
        runs.resume(run)
    failed = queue_run(
        Run.Kind.EVALUATE, policy="base", source="stories", stories=10, split="test", detached=True
    )
    artifacts.discard(ModelVersion.objects.get().artifact)
    assert not execute(failed)
    assert failed.status == Run.Status.FAILED
    assert not failed.folder.exists()


@pytest.mark.parametrize(
    ("status", "reason"), [(Run.Status.SUCCEEDED, "nothing to resume"), (Run.Status.QUEUED, "is queued")]
)
def test_there_is_nothing_to_resume(status: Run.Status, reason: str) -> None:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN, status=status, saved_step=3)
    with pytest.raises(CommandError, match=reason):
        call_command("resume", str(run.pk))


def test_there_is_no_such_run() -> None:
    with pytest.raises(CommandError, match="no run 4711"):
        call_command("resume", "4711")


def test_a_state_that_is_not_on_this_machine() -> None:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN, status=Run.Status.CANCELLED, saved_step=3)
    with pytest.raises(CommandError, match="is not on this machine"):
        call_command("resume", str(run.pk))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_command_that_is_interrupted_saves_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    asked = QUICK | {"steps": 100_000, "evaluate_every": 50_000, "name": "half"}
    with command(tmp_path, "pretrain", *options(asked)) as process:
        assert eventually(lambda: Run.objects.filter(points__step__gte=1).exists())
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    run = Run.objects.get()
    assert process.returncode == code, stderr
    assert run.status == Run.Status.CANCELLED
    assert run.saved_step is not None
    assert f"manage.py resume {run.pk}" in stderr.splitlines()[-1]


def test_a_killed_command_is_found_and_resumed_by_another(tmp_path: Path) -> None:
    asked = QUICK | {"steps": 20, "name": "half", "save_every": 0}
    with command(tmp_path, "pretrain", *options(asked)) as process:
        assert eventually(lambda: Run.objects.filter(saved_step__gte=1).exists())
        process.kill()
    run = Run.objects.get()
    assert run.status == Run.Status.RUNNING
    Run.objects.update(heartbeat_at=timezone.now() - HEARTBEAT_TIMEOUT - timedelta(seconds=1))
    saved = run.saved_step
    assert saved is not None
    call_command("resume", str(run.pk))
    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED
    assert [step for step, _ in curve(run)] == list(range(21))
    whole = execute_run(Run.Kind.PRETRAIN, **asked | {"name": "whole"})
    assert curve(run) == curve(whole)
    assert list(Path(settings.RUN_FOLDERS).iterdir()) == []
