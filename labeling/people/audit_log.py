"""Audit log of changes to people, kept as their history in the Django admin."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User


def log_change(person: User, message: str, *, by: User) -> None:
    """Add an entry to a person's history."""
    LogEntry.objects.log_actions(by.pk, [person], CHANGE, change_message=message, single_object=True)
