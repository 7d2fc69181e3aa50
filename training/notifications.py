"""Notifications about the end of runs: on pages, by e-mail and by webhook."""

import base64
import hmac
import json
import smtplib
import time
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from enum import StrEnum
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import get_script_prefix
from django.utils import timezone
from procrastinate.contrib.django import app

from training.models import LogLine, Run
from training.reports.failure_hints import failure_hint

MAX_AGE = timedelta(days=1)
"""Older ends are not announced any more."""


def unseen_runs(user: User | AnonymousUser) -> QuerySet[Run]:
    """The user's recently succeeded or failed runs that no page has shown them; newest first."""
    if not user.is_authenticated:
        return Run.objects.none()
    since = timezone.now() - MAX_AGE
    return (
        Run.objects.to_announce()
        .filter(owner=user, seen_at=None, finished_at__gte=since)
        .select_related("project", "policy", "version")
        .order_by("-finished_at")
    )


def mark_seen(run: Run, user: User | AnonymousUser) -> bool:
    """Record that the owner has seen a run's end; False if it is not theirs or was seen before."""
    if not user.is_authenticated:
        return False
    return bool(Run.objects.to_announce().filter(pk=run.pk, owner=user, seen_at=None).update(seen_at=Now()))


# -- By e-mail and webhook ---------------------------------------------------------------------------------

SEND_TASK = "training.jobs.send_notification"
QUEUE = "notices"
TIMEOUT = 10.0
"""Seconds that a mail server or a webhook may take to accept a notification."""


class Channel(StrEnum):
    """A way to notify people who have no page open."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class DeliveryError(Exception):
    """A notification could not be sent; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Notification:
    """A notification about the end of a run."""

    id: str
    """The same for each delivery, so that receivers can detect duplicates."""
    subject: str
    text: str
    recipients: list[str]
    event: dict[str, Any]
    """The body of the webhook: `type`, `timestamp` and `data`."""


def queue_due_notifications() -> int:
    """Queue the notifications of ends that were not announced yet; returns the number of runs.

    A run is marked as announced in the transaction that queues its notifications, so that no second worker
    queues them again. Each channel has its own job, which is retried for hours if necessary.
    """
    if not configured_channels():
        return 0
    with transaction.atomic():
        due = Run.objects.to_announce().filter(announced_at=None, finished_at__gte=timezone.now() - MAX_AGE)
        found = list(due.select_for_update(skip_locked=True, of=("self",)).order_by("finished_at")[:50])
        for run in found:
            assert run.finished_at is not None
            for channel in configured_channels():
                app.configure_task(SEND_TASK, queue=QUEUE).defer(
                    run_id=run.pk, channel=channel, ended=run.finished_at.isoformat()
                )
        Run.objects.filter(pk__in=[run.pk for run in found]).update(announced_at=Now())
    return len(found)


def configured_channels() -> list[Channel]:
    """The channels enabled in the settings."""
    configured = {Channel.EMAIL: settings.NOTIFY_BY_EMAIL, Channel.WEBHOOK: settings.NOTIFY_WEBHOOK_URL}
    return [channel for channel, is_set in configured.items() if is_set]


def compose(run_id: int, *, ended: str) -> Notification | None:
    """The notification of a run's end at `ended` (ISO 8601); None if it was resumed or deleted since."""
    related = ("project", "version", "owner")
    run = Run.objects.to_announce().select_related(*related).filter(pk=run_id, finished_at=ended).first()
    if run is None or run.finished_at is None:
        return None
    version = getattr(run, "version", None)
    subject = f"{run} {run.get_status_display().lower()}" + (f": {run.project.name}" if run.project else "")
    # SITE_URL has the path that a proxy puts the site under, and so has what a request reverses.
    url = f"{settings.SITE_URL}/{run.get_absolute_url().removeprefix(get_script_prefix())}"
    lines = [f"{run} {run.get_status_display().lower()} after {run.elapsed}."]
    lines += [f"Project: {run.project.name}"] if run.project else []
    lines += [f"It made {version.name}."] if version else []
    lines += [f"Why: {run.error}", f"What to do: {failure_hint(run)}"] if run.error else []
    lines += [*run.metrics.get("notes", []), "", url]
    owner = [run.owner.email] if run.owner and run.owner.is_active and run.owner.email else []
    return Notification(
        id=f"run-{run.pk}-{run.finished_at:%Y%m%dT%H%M%S}",
        subject=" ".join(subject.split()),
        text="\n".join(lines) + "\n",
        recipients=list(dict.fromkeys([*owner, *settings.NOTIFY_EMAIL])),
        event={
            "type": f"run.{run.status}",
            "timestamp": run.finished_at.isoformat(),
            "data": {
                "run": run.pk,
                "kind": run.kind,
                "status": run.status,
                "project": run.project.slug if run.project else None,
                "version": version.name if version else None,
                "owner": run.owner.get_username() if run.owner else None,
                "seconds": run.seconds,
                "metrics": {
                    name: value
                    for name, value in run.metrics.items()
                    if isinstance(value, int | float) and not isinstance(value, bool)
                },
                "error": run.error,
                "advice": failure_hint(run),
                "url": url,
            },
        },
    )


def deliver(notification: Notification, channel: Channel) -> None:
    """Send a notification, without any database query. Raises DeliveryError."""
    send = {Channel.EMAIL: send_email, Channel.WEBHOOK: send_webhook}[channel]
    try:
        send(notification)
    except (OSError, HTTPException, smtplib.SMTPException) as error:
        reason = f"{error.code} {error.reason}" if isinstance(error, HTTPError) else str(error)
        raise DeliveryError(f"The {channel} notification could not be delivered ({reason}).") from error


def send_email(notification: Notification) -> None:
    """Send one e-mail to the owner and the addresses in the settings; nothing if there are none."""
    if notification.recipients:
        sender = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
        headers = {"Message-ID": f"<{notification.id}@{sender.rpartition('@')[2] or 'localhost'}>"}
        EmailMessage(
            notification.subject, notification.text, to=notification.recipients, headers=headers
        ).send()


def send_webhook(notification: Notification) -> None:
    """POST the event as JSON, signed as Standard Webhooks specifies if a secret is set."""
    body = json.dumps(notification.event).encode()
    sent = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Hone",
        "webhook-id": notification.id,
        "webhook-timestamp": sent,
    }
    if settings.NOTIFY_WEBHOOK_SECRET:
        headers["webhook-signature"] = signature(
            body, id=notification.id, timestamp=sent, secret=settings.NOTIFY_WEBHOOK_SECRET
        )
    request = Request(settings.NOTIFY_WEBHOOK_URL, data=body, headers=headers, method="POST")  # noqa: S310
    # No redirects: only the address in the settings is trusted.
    try:
        build_opener(NoRedirect).open(request, timeout=TIMEOUT).close()
    except HTTPError as refusal:
        refusal.close()  # it holds the connection
        raise


def signature(body: bytes, *, id: str, timestamp: str, secret: str) -> str:  # noqa: A002 -- their names
    """`v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY` in base64 (standardwebhooks.com, 2023).

    A secret that starts with `whsec_` is decoded from base64; any other is used as it is.
    """
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    signed = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


class NoRedirect(HTTPRedirectHandler):
    """Treats redirects as errors."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow no redirect."""


def log_failure(run_id: int, text: str) -> None:
    """Write to the run's log that a notification was not sent."""
    for run in Run.objects.filter(pk=run_id):
        run.log.create(attempt=max(run.attempts, 1), level=LogLine.Level.WARNING, text=text)
