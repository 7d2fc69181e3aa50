"""Placeholder annotators: users who stand for people whose answers were given elsewhere."""

from django.contrib.auth.models import User
from django.db import transaction

from labeling.models import ImportedAnnotator
from labeling.text_limits import MAX_NAME_LENGTH


def imported_annotator(source: str, name: str) -> User:
    """The user who stands for an annotator of another tool, such as `label-studio:2`; created if new.

    Without a name, it is the source itself: whoever judged that file. The account is inactive and has no
    password, so nobody can sign in with it. An account of the same name that somebody has made is not it.
    """
    found = ImportedAnnotator.objects.filter(source=source, name=name).select_related("person").first()
    if found is not None:
        return found.person
    with transaction.atomic():
        base = f"{source}:{name}"[: MAX_NAME_LENGTH - 5] if name else source
        username, number = base, 1
        while User.objects.filter(username=username).exists():
            number += 1
            username = f"{base}-{number}"
        person = User(username=username, is_active=False)
        person.set_unusable_password()
        person.save()
        ImportedAnnotator.objects.create(person=person, source=source, name=name)
    return person
