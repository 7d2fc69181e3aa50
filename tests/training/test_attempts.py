"""A run belongs to one attempt at a time, and what a lost attempt writes is refused."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from training import runs
from training.models import HEARTBEAT_TIMEOUT, MetricPoint, Run

pytestmark = pytest.mark.django_db


def make_queued_run(**fields: object) -> Run:
    return Run.objects.create(kind=Run.Kind.PRETRAIN, **fields)


def let_heartbeat_expire(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(
        heartbeat_at=timezone.now() - HEARTBEAT_TIMEOUT - timedelta(seconds=1)
    )


def set_running_time(run: Run, *, seconds: float) -> None:
    """As if its last heartbeat had been so long ago."""
    Run.objects.filter(pk=run.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))
    run.refresh_from_db()


def waiting_jobs(run: Run) -> int:
    return ProcrastinateJob.objects.filter(queueing_lock=f"run-{run.pk}", status="todo").count()


def test_only_one_of_two_processes_begins_a_run() -> None:
    run = make_queued_run()
    other = Run.objects.get(pk=run.pk)
    assert run.begin()
    assert not other.begin()


def record_steps(run: Run, *, steps: int) -> None:
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, step=step, values={"loss": 1.0}) for step in range(1, steps + 1)
    )


def test_an_attempt_without_a_state_to_go_on_from_begins_anew() -> None:
    run = make_queued_run()
    run.begin()
    record_steps(run, steps=3)
    run.record_heartbeat(progress=0.5, message="step 3")
    run.release()
    run.begin()
    assert run.attempts == 2
    assert run.progress == 0.0
    assert not run.points.exists()


def test_an_attempt_with_a_state_keeps_what_was_measured_up_to_it() -> None:
    run = make_queued_run()
    run.begin()
    run.folder.mkdir(parents=True)
    record_steps(run, steps=5)
    run.record_saved_step(3)
    run.record_heartbeat(progress=0.5, message="step 5")
    run.release()
    run.begin()
    assert run.progress == 0.5
    run.rewind_to(3)
    assert list(run.points.values_list("step", flat=True)) == [1, 2, 3]
    assert run.saved_step == 3


def test_a_state_whose_folder_is_gone_is_forgotten() -> None:
    run = make_queued_run()
    run.begin()
    record_steps(run, steps=3)
    run.record_saved_step(3)
    run.release()
    run.begin()
    assert run.saved_step is None
    assert not run.points.exists()


def test_files_that_no_state_is_known_of_are_removed_before_an_attempt() -> None:
    run = make_queued_run()
    run.folder.mkdir(parents=True)
    (run.folder / "left").touch()
    run.begin()
    assert not run.folder.exists()


def test_a_deleted_run_takes_its_folder_along() -> None:
    run = make_queued_run()
    run.folder.mkdir(parents=True)
    folder = run.folder
    run.delete()
    assert not folder.exists()


def test_the_time_spent_leaves_out_the_waits_between_attempts() -> None:
    run = make_queued_run()
    assert run.seconds is None
    run.begin()
    run.folder.mkdir(parents=True)
    run.record_saved_step(1)
    set_running_time(run, seconds=10)
    run.record_heartbeat(progress=0.1, message="step 1")
    run.release()
    Run.objects.filter(pk=run.pk).update(started_at=timezone.now() - timedelta(days=1))
    run.begin()
    set_running_time(run, seconds=5)
    assert run.seconds == pytest.approx(15, abs=1)
    run.record_heartbeat(progress=0.2, message="step 2")
    run.finish(Run.Status.SUCCEEDED)
    assert run.seconds == pytest.approx(15, abs=1)


def test_a_death_found_late_is_not_time_spent() -> None:
    run = make_queued_run(detached=False)
    run.begin()
    set_running_time(run, seconds=3600)
    runs.recover_dead_runs()
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert run.seconds == pytest.approx(2, abs=0.5)


def test_a_lost_attempt_can_neither_beat_nor_finish() -> None:
    lost = make_queued_run()
    lost.begin()
    winner = Run.objects.get(pk=lost.pk)
    winner.release()
    winner.begin()
    assert not lost.record_heartbeat(progress=0.9, message="still here")
    assert not lost.finish(Run.Status.SUCCEEDED, metrics={"loss": 0.0})
    winner.refresh_from_db()
    assert winner.status == Run.Status.RUNNING
    assert winner.metrics == {}


def test_a_beat_says_when_cancelling_was_asked_for() -> None:
    run = make_queued_run()
    run.begin()
    assert run.record_heartbeat(progress=0.5, message="step 5")
    runs.cancel(Run.objects.get(pk=run.pk))
    assert not run.record_heartbeat(progress=0.6, message="step 6")


def test_a_waiting_run_is_cancelled_at_once() -> None:
    run = make_queued_run()
    assert runs.cancel(run)
    assert run.status == Run.Status.CANCELLED
    assert not run.begin()


def test_a_run_that_ended_cannot_be_cancelled() -> None:
    run = make_queued_run()
    run.begin()
    run.finish(Run.Status.SUCCEEDED)
    assert not runs.cancel(run)
    assert run.status == Run.Status.SUCCEEDED


def test_a_run_with_a_silent_attempt_goes_back_to_the_queue_and_wakes_a_worker() -> None:
    run = make_queued_run(detached=True)
    run.begin()
    let_heartbeat_expire(run)
    assert runs.recover_dead_runs() == 1
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
    assert waiting_jobs(run) == 1


def test_mending_again_and_again_keeps_one_job_a_run() -> None:
    run = make_queued_run(detached=True)
    for _ in range(3):
        runs.recover_dead_runs()
    assert waiting_jobs(run) == 1


def test_a_run_that_beats_is_left_alone() -> None:
    run = make_queued_run(detached=True)
    run.begin()
    assert runs.recover_dead_runs() == 0
    run.refresh_from_db()
    assert run.status == Run.Status.RUNNING


def test_a_silent_foreground_run_failed() -> None:
    run = make_queued_run(detached=False)
    run.begin()
    let_heartbeat_expire(run)
    runs.recover_dead_runs()
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert "killed" in run.error


def test_a_silent_run_that_was_to_be_cancelled_is_cancelled() -> None:
    run = make_queued_run(detached=True)
    run.begin()
    runs.cancel(run)
    let_heartbeat_expire(run)
    runs.recover_dead_runs()
    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED


def test_the_database_refuses_a_running_run_without_a_token() -> None:
    run = make_queued_run()
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(status=Run.Status.RUNNING)
