"""A run can be set aside, and taken up again where it was."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from tests.processes import eventually
from tests.training.factories import QUICK_PRETRAIN, admin, annotator, queue_run
from training import runs
from training.execution.attempt import Attempt, StopReason
from training.execution.executor import end_stopped_attempt, execute
from training.models import HEARTBEAT_TIMEOUT, Run

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_waiting_run_is_paused_at_once_and_no_worker_takes_it() -> None:
    run = Run.objects.create(kind=Run.Kind.EVALUATE)
    assert runs.pause(run)
    assert run.status == Run.Status.PAUSED
    assert not run.begin()
    assert runs.recover_dead_runs() == 0


def test_a_paused_run_can_always_be_resumed_although_it_saved_nothing() -> None:
    run = Run.objects.create(kind=Run.Kind.EVALUATE)
    runs.pause(run)
    assert run.is_resumable
    runs.resume(run)
    assert run.status == Run.Status.QUEUED
    assert run.begin()


def test_a_paused_run_can_be_cancelled() -> None:
    run = Run.objects.create(kind=Run.Kind.EVALUATE)
    runs.pause(run)
    assert run.is_cancelable
    assert runs.cancel(run)
    assert run.status == Run.Status.CANCELLED


@pytest.mark.parametrize("status", [Run.Status.SUCCEEDED, Run.Status.FAILED, Run.Status.PAUSED])
def test_a_run_that_does_not_go_cannot_be_paused(status: Run.Status) -> None:
    run = Run.objects.create(kind=Run.Kind.EVALUATE, status=status)
    assert not run.is_pausable
    assert not runs.pause(run)
    assert run.status == status


def test_a_run_about_to_be_cancelled_is_not_paused_instead() -> None:
    run = Run.objects.create(kind=Run.Kind.EVALUATE)
    run.begin()
    runs.cancel(run)
    assert not runs.pause(run)


def test_the_dead_attempt_of_a_run_that_was_to_be_paused_is_paused() -> None:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN)
    run.begin()
    runs.pause(run)
    Run.objects.update(heartbeat_at=timezone.now() - HEARTBEAT_TIMEOUT - timedelta(seconds=1))
    assert runs.recover_dead_runs() == 1
    run.refresh_from_db()
    assert run.status == Run.Status.PAUSED
    assert not run.pause_requested


def test_a_run_paused_on_its_way_goes_on_from_there() -> None:
    asked: dict[str, Any] = QUICK_PRETRAIN | {"steps": 8, "evaluate_every": 4, "name": "slow", "context": 32}
    run = queue_run(Run.Kind.PRETRAIN, **asked)

    def observe(progress: float, message: str, metrics: dict[str, float]) -> None:
        if message == "step 3":
            assert runs.pause(Run.objects.get(pk=run.pk))
            attempts[0].stop(StopReason.PAUSED)  # as its heart does at the next beat

    attempts: list[Attempt] = []
    assert not execute(run, observer=observe, on_attempt=attempts.append)
    run.refresh_from_db()
    assert run.status == Run.Status.PAUSED
    assert (run.saved_step, run.finished_at) == (3, None)
    runs.resume(run, detached=False)
    assert execute(run), run.error
    assert list(run.points.values_list("step", flat=True)) == list(range(9))
    assert sorted(set(run.samples.values_list("step", flat=True))) == [0, 4, 8]


@pytest.mark.parametrize("is_cancelled_too", [False, True])
def test_an_attempt_hears_at_its_next_heartbeat_that_it_is_to_pause(
    monkeypatch: pytest.MonkeyPatch, is_cancelled_too: bool
) -> None:
    monkeypatch.setattr("training.execution.attempt.HEARTBEAT_INTERVAL", timedelta(milliseconds=20))
    run = Run.objects.create(kind=Run.Kind.PRETRAIN)
    assert run.begin()
    with Attempt(run) as attempt:
        runs.pause(Run.objects.get(pk=run.pk))
        assert eventually(lambda: attempt.stop_reason is StopReason.PAUSED)
        if is_cancelled_too:  # while it still saves its state
            assert runs.cancel(Run.objects.get(pk=run.pk))
        end_stopped_attempt(run, attempt)
    assert run.status == (Run.Status.CANCELLED if is_cancelled_too else Run.Status.PAUSED)
    assert run.log.count() == 2
    run.refresh_from_db()
    assert run.resources["memory"] > 0


def test_pausing_by_the_api() -> None:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN)
    client = APIClient()
    path = f"/api/runs/{run.pk}/pause/"
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=annotator()).key}")
    assert client.post(path).status_code == 403
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=admin()).key}")
    assert client.post(path).json()["status"] == "paused"
    assert client.post(path).status_code == 409
    assert client.post(f"/api/runs/{run.pk}/resume/").json()["status"] == "queued"
