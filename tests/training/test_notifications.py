"""The owner is notified of the end of a run once, also by e-mail and webhook if these are configured."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core import mail
from django.utils import timezone
from procrastinate import RetryStrategy
from procrastinate.contrib.django.models import ProcrastinateJob
from pytest_django import Settings

from tests.training.factories import admin, annotator, make_policy, make_project
from training import jobs, notifications, runs
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)


class Hook(HTTPServer):
    """A webhook that remembers what it got, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status = 204
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class Answer(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook(settings: Settings) -> Iterator[Hook]:
    server = Hook()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    settings.NOTIFY_WEBHOOK_URL = server.address
    settings.NOTIFY_WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"between us").decode()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ended_run(status: Run.Status = Run.Status.SUCCEEDED, **fields: object) -> Run:
    return Run.objects.create(
        **{"kind": Run.Kind.FINETUNE, "status": status, "finished_at": timezone.now(), **fields}
    )


def sent_by_the_queue() -> None:
    """Do the jobs that wait, as a worker does: in a loop of its own, where a browser's may run."""
    with ThreadPoolExecutor(max_workers=1) as elsewhere:
        for job in ProcrastinateJob.objects.filter(queue_name=notifications.QUEUE, status="todo"):
            elsewhere.submit(asyncio.run, jobs.send_notification(**job.args)).result()


# -- On pages ----------------------------------------------------------------------------------------------


def test_only_the_owner_is_told_on_a_page_and_only_once() -> None:
    ada, eve = admin("ada"), admin("eve")
    run = ended_run(owner=ada)
    assert list(notifications.unseen_runs(ada)) == [run]
    assert not notifications.unseen_runs(eve)
    assert not notifications.unseen_runs(AnonymousUser())
    assert not notifications.mark_seen(run, eve)
    assert notifications.mark_seen(run, ada)
    assert not notifications.mark_seen(run, ada)
    assert not notifications.unseen_runs(ada)


def test_what_goes_on_was_cancelled_or_ended_long_ago_is_no_news() -> None:
    ada = admin("ada")
    for status in (Run.Status.RUNNING, Run.Status.PAUSED, Run.Status.CANCELLED):
        Run.objects.create(kind=Run.Kind.SAMPLE, status=Run.Status.QUEUED, owner=ada)
        if status != Run.Status.RUNNING:
            ended_run(status, owner=ada)
    ended_run(owner=ada, finished_at=timezone.now() - timedelta(days=2))
    assert not notifications.unseen_runs(ada)


def test_a_resumed_run_is_news_again_when_it_ends_again() -> None:
    ada = admin("ada")
    run = ended_run(Run.Status.FAILED, owner=ada, saved_step=3, announced_at=timezone.now())
    notifications.mark_seen(run, ada)
    runs.resume(run)
    assert not notifications.unseen_runs(ada)
    run.begin()
    run.finish(Run.Status.FAILED, error="again")
    assert list(notifications.unseen_runs(ada)) == [run]
    assert run.announced_at is None


# -- By webhook --------------------------------------------------------------------------------------------


def test_a_webhook_gets_a_signed_event_once(hook: Hook) -> None:
    project, parent = make_project(), make_policy()
    run = ended_run(owner=admin(), project=project, metrics={"best_step": 40, "examples": [1]})
    ModelVersion.objects.filter(pk=parent.pk).update(run=run)
    assert notifications.queue_due_notifications() == 1
    assert notifications.queue_due_notifications() == 0
    sent_by_the_queue()
    ((headers, body),) = hook.got
    event = json.loads(body)
    assert event["type"] == "run.succeeded"
    assert event["data"]["project"] == "letters"
    assert event["data"]["version"] == "base"
    assert event["data"]["metrics"] == {"best_step": 40}
    assert event["data"]["url"].endswith(f"/runs/{run.pk}/")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(b"between us", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize("status", [500, 302])
def test_a_webhook_that_refuses_is_tried_again_and_the_log_says_so(hook: Hook, status: int) -> None:
    hook.status = status
    run = ended_run(Run.Status.FAILED, error="Out of memory.")
    notifications.queue_due_notifications()
    with pytest.raises(notifications.DeliveryError, match=str(status)):
        sent_by_the_queue()
    assert "webhook notification" in run.log.get().text
    assert isinstance(jobs.send_notification.retry_strategy, RetryStrategy)
    hook.status = 204
    sent_by_the_queue()
    assert len(hook.got) == 2
    first, second = (headers["webhook-id"] for headers, _ in hook.got)
    assert first == second
    assert "smaller" in json.loads(hook.got[1][1])["data"]["advice"]


def test_a_run_resumed_before_its_notice_went_out_is_not_told_of(hook: Hook) -> None:
    run = ended_run(Run.Status.FAILED, saved_step=2)
    notifications.queue_due_notifications()
    runs.resume(run)
    sent_by_the_queue()
    assert hook.got == []


# -- By e-mail ---------------------------------------------------------------------------------------------


def test_a_message_goes_to_the_owner_and_to_those_named_in_the_settings(settings: Settings) -> None:
    settings.NOTIFY_BY_EMAIL = True
    settings.NOTIFY_EMAIL = ["lab@example.org"]
    ada = admin()
    ada.email = "ada@example.org"
    ada.save()
    run = ended_run(
        Run.Status.FAILED, owner=ada, project=make_project(), error="the files of base are gone from the "
        "artifact storage (base-1): restore them."
    )  # fmt: skip
    notifications.queue_due_notifications()
    sent_by_the_queue()
    (message,) = mail.outbox
    assert message.to == ["ada@example.org", "lab@example.org"]
    assert message.subject == f"Fine-tune #{run.pk} failed: Letters"
    assert "are gone" in message.body
    assert "What to do: The files of the version are missing" in message.body


def test_nobody_with_an_address_gets_nothing(settings: Settings) -> None:
    settings.NOTIFY_BY_EMAIL = True
    ended_run(owner=annotator())
    notifications.queue_due_notifications()
    sent_by_the_queue()
    assert mail.outbox == []


def test_without_a_channel_nothing_is_queued() -> None:
    run = ended_run()
    assert notifications.queue_due_notifications() == 0
    run.refresh_from_db()
    assert run.announced_at is None
