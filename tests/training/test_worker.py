"""The worker and its child process, with real signals."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from django.utils import timezone

from tests.processes import eventually, worker
from tests.training.factories import QUICK_PRETRAIN, queue_run
from training.models import HEARTBEAT_TIMEOUT, ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)

SOME_SECONDS = QUICK_PRETRAIN | {"steps": 60, "save_every": 0.01}


def is_moving(run: Run) -> bool:
    return run.points.exists()


def has_saved(run: Run) -> bool:
    return Run.objects.filter(pk=run.pk, saved_step__gte=10).exists()


def status(run: Run) -> str:
    return Run.objects.values_list("status", flat=True).get(pk=run.pk)


def children_executing(run: Run, home: Path) -> list[int]:
    """Processes of `execute_run` for this run, started by the worker of `home`: other tests have runs too."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command, variables = ((entry / name).read_bytes() for name in ("cmdline", "environ"))
            if f"execute_run\0{run.pk}\0".encode() in command and f"HONE_HOME={home}\0".encode() in variables:
                found.append(int(entry.name))
    return found


def test_a_run_survives_the_kill_of_its_worker_and_goes_on_where_it_was(tmp_path: Path) -> None:
    run = queue_run(Run.Kind.PRETRAIN, name="phoenix", detached=True, **SOME_SECONDS)
    with worker(tmp_path) as first:
        assert eventually(lambda: has_saved(run))
        first.kill()
        first.wait()
        assert eventually(lambda: not children_executing(run, tmp_path))
    assert not ModelVersion.objects.exists()
    run.refresh_from_db()
    assert run.saved_step is not None
    # Rows that are not written a second time are the first attempt's.
    run.points.filter(step=1).update(values={"loss": -1.0})
    with worker(tmp_path):
        assert eventually(lambda: status(run) == Run.Status.SUCCEEDED, seconds=240)
    run.refresh_from_db()
    assert run.attempts == 2
    assert Run.objects.count() == 1
    assert ModelVersion.objects.get().name == "phoenix"
    assert run.points.get(step=1).values == {"loss": -1.0}
    assert list(run.points.values_list("step", flat=True)) == list(range(61))
    assert not run.folder.exists()


@pytest.mark.slow
def test_a_run_goes_on_although_both_the_worker_and_its_child_were_killed(tmp_path: Path) -> None:
    run = queue_run(Run.Kind.PRETRAIN, name="phoenix", detached=True, **SOME_SECONDS)
    with worker(tmp_path) as first:
        assert eventually(lambda: has_saved(run))
        first.kill()
        for child in children_executing(run, tmp_path):
            os.kill(child, 9)
        first.wait()
    run.refresh_from_db()
    assert run.status == Run.Status.RUNNING
    saved = run.saved_step
    assert saved is not None
    run.points.filter(step=saved).update(values={"loss": -1.0})
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - HEARTBEAT_TIMEOUT)
    with worker(tmp_path):
        assert eventually(lambda: status(run) == Run.Status.SUCCEEDED, seconds=240)
    assert run.points.get(step=saved).values == {"loss": -1.0}
    assert list(run.points.values_list("step", flat=True)) == list(range(61))


def test_a_killed_child_fails_its_run_and_a_worker_told_to_stop_gives_its_run_back(tmp_path: Path) -> None:
    never = queue_run(Run.Kind.PRETRAIN, name="never", detached=True, **SOME_SECONDS | {"steps": 100_000})
    later = queue_run(Run.Kind.PRETRAIN, name="later", detached=True, **SOME_SECONDS)
    with worker(tmp_path) as process:
        assert eventually(lambda: is_moving(never))
        (child,) = children_executing(never, tmp_path)
        os.kill(child, 9)
        assert eventually(lambda: status(never) == Run.Status.FAILED, seconds=20)
        assert eventually(lambda: is_moving(later))
        process.terminate()
        assert process.wait(timeout=30) == 0
    never.refresh_from_db()
    assert "signal 9" in never.error
    assert "memory" in never.error
    later.refresh_from_db()
    assert later.status == Run.Status.QUEUED
    assert not children_executing(later, tmp_path)
    assert later.saved_step is not None
    assert (later.folder / "last").is_dir()
