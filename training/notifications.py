"""Telling people that a run of theirs has ended: on pages, by e-mail and by webhook."""

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
from django.utils import timezone
from procrastinate.contrib.django import app

from training.models import LogLine, Run
from training.reports.failure_hints import advice

FRESH = timedelta(days=1)
"""An end is news for so long; later nobody is interrupted with it."""


def unseen(user: User | AnonymousUser) -> QuerySet[Run]:
    """A person's own runs that succeeded or failed of late, of which no page has told them; newest first."""
    if not user.is_authenticated:
        return Run.objects.none()
    since = timezone.now() - FRESH
    return (
        Run.objects.to_announce()
        .filter(owner=user, seen_at=None, finished_at__gte=since)
        .select_related("project", "policy", "version")
        .order_by("-finished_at")
    )


def mark_seen(run: Run, user: User | AnonymousUser) -> bool:
    """Keep that its owner has learned of a run's end; False if it is not theirs, or was known already."""
    if not user.is_authenticated:
        return False
    return bool(Run.objects.to_announce().filter(pk=run.pk, owner=user, seen_at=None).update(seen_at=Now()))


# -- By e-mail and webhook ---------------------------------------------------------------------------------

SEND = "training.jobs.send_notice"
QUEUE = "notices"
TIMEOUT = 10.0
"""Seconds that a mail server or a webhook gets to take a notice."""


class Channel(StrEnum):
    """A way to tell somebody who is on no page."""

    EMAIL = "email"
    WEBHOOK = "webhook"


class NotSent(Exception):  # noqa: N818 -- said in one line, in the run's log
    """Says why a notice could not be sent."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What is told of the end of a run."""

    id: str
    """The same each time it is sent, so that who gets it twice can tell."""
    subject: str
    text: str
    recipients: list[str]
    event: dict[str, Any]
    """What the webhook gets: `type`, `timestamp` and `data`."""


def send_due() -> int:
    """Queue the notices of ends that nobody was told of; returns of how many.

    An end is marked as told in the transaction that queues its notices, so no second worker queues them
    again. Each channel has a job of its own, which the queue tries again for hours if need be.
    """
    if not channels():
        return 0
    with transaction.atomic():
        due = Run.objects.to_announce().filter(announced_at=None, finished_at__gte=timezone.now() - FRESH)
        found = list(due.select_for_update(skip_locked=True, of=("self",)).order_by("finished_at")[:50])
        for run in found:
            assert run.finished_at is not None
            for channel in channels():
                app.configure_task(SEND, queue=QUEUE).defer(
                    run_id=run.pk, channel=channel, ended=run.finished_at.isoformat()
                )
        Run.objects.filter(pk__in=[run.pk for run in found]).update(announced_at=Now())
    return len(found)


def channels() -> list[Channel]:
    """Those that the settings configure."""
    configured = {Channel.EMAIL: settings.NOTIFY_BY_EMAIL, Channel.WEBHOOK: settings.NOTIFY_WEBHOOK_URL}
    return [channel for channel, is_set in configured.items() if is_set]


def compose(run_id: int, *, ended: str) -> Notice | None:
    """What to tell of the end of a run at the time `ended` (ISO 8601); None if it has been resumed or deleted
    since: its next end will be told."""
    related = ("project", "version", "owner")
    run = Run.objects.to_announce().select_related(*related).filter(pk=run_id, finished_at=ended).first()
    if run is None or run.finished_at is None:
        return None
    version = getattr(run, "version", None)
    subject = f"{run} {run.get_status_display().lower()}" + (f": {run.project.name}" if run.project else "")
    url = settings.SITE_URL + run.get_absolute_url()
    lines = [f"{run} {run.get_status_display().lower()} after {run.elapsed}."]
    lines += [f"Project: {run.project.name}"] if run.project else []
    lines += [f"It made {version.name}."] if version else []
    lines += [f"Why: {run.error}", f"What to do: {advice(run)}"] if run.error else []
    lines += [*run.metrics.get("notes", []), "", url]
    owner = [run.owner.email] if run.owner and run.owner.is_active and run.owner.email else []
    return Notice(
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
                "advice": advice(run),
                "url": url,
            },
        },
    )


def deliver(notice: Notice, channel: Channel) -> None:
    """Send a notice. It asks the database nothing. Raises NotSent."""
    send = {Channel.EMAIL: by_email, Channel.WEBHOOK: by_webhook}[channel]
    try:
        send(notice)
    except (OSError, HTTPException, smtplib.SMTPException) as error:
        reason = f"{error.code} {error.reason}" if isinstance(error, HTTPError) else str(error)
        raise NotSent(f"The {channel} notice of its end was not taken ({reason}).") from error


def by_email(notice: Notice) -> None:
    """One message to the owner and to those whom the settings name; none where nobody has an address."""
    if notice.recipients:
        sender = parseaddr(settings.DEFAULT_FROM_EMAIL)[1]
        headers = {"Message-ID": f"<{notice.id}@{sender.rpartition('@')[2] or 'localhost'}>"}
        EmailMessage(notice.subject, notice.text, to=notice.recipients, headers=headers).send()


def by_webhook(notice: Notice) -> None:
    """A POST of the event as JSON, signed as the Standard Webhooks have it if there is a secret."""
    body = json.dumps(notice.event).encode()
    sent = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Hone",
        "webhook-id": notice.id,
        "webhook-timestamp": sent,
    }
    if settings.NOTIFY_WEBHOOK_SECRET:
        headers["webhook-signature"] = signature(
            body, id=notice.id, timestamp=sent, secret=settings.NOTIFY_WEBHOOK_SECRET
        )
    request = Request(settings.NOTIFY_WEBHOOK_URL, data=body, headers=headers, method="POST")  # noqa: S310
    # Not followed elsewhere: the address in the settings is the one that was trusted.
    try:
        build_opener(NoRedirect).open(request, timeout=TIMEOUT).close()
    except HTTPError as refusal:
        refusal.close()  # it holds the connection
        raise


def signature(body: bytes, *, id: str, timestamp: str, secret: str) -> str:  # noqa: A002 -- their names
    """`v1,` and the HMAC-SHA256 of `ID.TIMESTAMP.BODY` in base64 (standardwebhooks.com, 2023).

    A secret that begins with `whsec_` goes on in base64, as theirs do; any other is taken as it is.
    """
    key = base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()
    signed = hmac.digest(key, f"{id}.{timestamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(signed).decode()}"


class NoRedirect(HTTPRedirectHandler):
    """Takes a redirect for the refusal that it is to a sender."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow nothing."""


def note_failure(run_id: int, text: str) -> None:
    """Keep in the run's log that a notice was not sent."""
    for run in Run.objects.filter(pk=run_id):
        run.log.create(attempt=max(run.attempts, 1), level=LogLine.Level.WARNING, text=text)
