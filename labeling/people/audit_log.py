"""What was done about people, by whom: the history of each in the Django admin."""

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User


def record(person: User, said: str, *, by: User) -> None:
    """Keep in a person's history what somebody did about them."""
    LogEntry.objects.log_actions(by.pk, [person], CHANGE, change_message=said, single_object=True)
