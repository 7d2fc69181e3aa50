"""Telling people that a run of theirs has ended: on pages, by e-mail and by webhook."""

from datetime import timedelta

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from training.models import Run

FRESH = timedelta(days=1)
"""An end is news for so long; later nobody is interrupted with it."""


def unseen(user: User | AnonymousUser) -> QuerySet[Run]:
    """A person's own runs that succeeded or failed of late, of which no page has told them; newest first."""
    if not user.is_authenticated:
        return Run.objects.none()
    since = timezone.now() - FRESH
    return (
        Run.objects.to_tell()
        .filter(owner=user, seen_at=None, finished_at__gte=since)
        .select_related("project", "policy", "version")
        .order_by("-finished_at")
    )


def mark_seen(run: Run, user: User | AnonymousUser) -> bool:
    """Keep that its owner has learned of a run's end; False if it is not theirs, or was known already."""
    if not user.is_authenticated:
        return False
    return bool(Run.objects.to_tell().filter(pk=run.pk, owner=user, seen_at=None).update(seen_at=Now()))
