"""People: who is here, what they may do, and how one of them is sent away and brought back."""

from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest

from labeling import queue
from labeling.models import Assignment, Membership, Project
from labeling.people.audit_log import record
from labeling.people.groups import ADMINS, ANNOTATORS, REVIEWERS
from labeling.people.memberships import known_to, shown_to


def roster(viewer: User) -> QuerySet[Any]:
    """Whom the viewer looks after, with `answers` (submitted tasks) and `last_seen` (signed in, or took or
    finished a task)."""
    theirs = Assignment.objects.filter(annotator=OuterRef("pk")).order_by().values("annotator")
    answers = theirs.filter(state=Assignment.State.SUBMITTED).annotate(rows=Count("pk")).values("rows")
    taken = theirs.annotate(last=Max("claimed")).values("last")
    finished = theirs.annotate(last=Max("finished")).values("last")
    return (
        known_to(viewer)
        .annotate(
            answers=Coalesce(Subquery(answers), 0),
            last_seen=Greatest("last_login", Subquery(taken), Subquery(finished)),
        )
        .prefetch_related("groups", shown_to(viewer))
        .order_by("-is_active", "username")
    )


def role_of(user: User) -> str:
    """What a person is here, in one word."""
    if user.is_superuser:
        return "Superuser"
    groups = {group.name for group in user.groups.all()}
    if ADMINS in groups or user.is_staff:
        return "Admin"
    if REVIEWERS in groups:
        return "Reviewer"
    if ANNOTATORS in groups:
        return "Annotator"
    return "In projects alone" if user.memberships.all() else "No role"


def annotators() -> QuerySet[User]:
    """Active people who are here to label: not those who run the site, though they could as well."""
    labels = Q(groups__permissions__codename="label", groups__permissions__content_type__app_label="labeling")
    direct = Q(user_permissions__codename="label", user_permissions__content_type__app_label="labeling")
    return User.objects.filter(labels | direct, is_active=True, is_staff=False).distinct()


def annotators_of(project: Project) -> QuerySet[User]:
    """Who labels in this project: its members but for its admins, and, where it is open, all annotators."""
    members = project.memberships.exclude(role=Membership.Role.ADMIN)
    theirs = User.objects.filter(pk__in=members.values("person"), is_active=True, is_staff=False)
    if not project.everybody:
        return theirs
    return User.objects.filter(Q(pk__in=theirs.values("pk")) | Q(pk__in=annotators().values("pk")))


def may_manage(actor: User, person: User) -> bool:
    """Whether one person may deactivate another: never oneself, and the staff only if a superuser does."""
    if actor == person or not actor.has_perm("labeling.invite"):
        return False
    return actor.is_superuser or not (person.is_staff or person.is_superuser)


def deactivate(person: User, *, by: User) -> int:
    """Let somebody sign in no more, and give back the tasks they hold. Returns how many.

    Raises PermissionDenied. Their sessions and tokens are worth nothing from now on.
    """
    _set_active(person, False, by=by)
    return queue.release_all(annotator=person)


def reactivate(person: User, *, by: User) -> None:
    """Let somebody sign in again, with the rights they had. Raises PermissionDenied."""
    _set_active(person, True, by=by)


def _set_active(person: User, active: bool, *, by: User) -> None:
    with transaction.atomic():
        # Locked: somebody made staff at this moment is not sent away by an admin.
        row = User.objects.select_for_update().get(pk=person.pk)
        if not may_manage(by, row):
            raise PermissionDenied
        row.is_active = active
        row.save(update_fields=["is_active"])
        record(person, "Reactivated." if active else "Deactivated.", by=by)
    person.is_active = active
