"""Accounts: listing people, their roles, deactivation and reactivation."""

from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Greatest

from labeling import queue
from labeling.models import Assignment, ImportedAnnotator, Membership, Project
from labeling.people.audit_log import log_change
from labeling.people.groups import ADMINS, ANNOTATORS, REVIEWERS
from labeling.people.memberships import prefetch_visible_memberships, visible_people


def people_with_activity(viewer: User) -> QuerySet[Any]:
    """The people the viewer manages, with `answers` (submitted tasks) and `last_seen` (the last login, claim
    or submission)."""
    theirs = Assignment.objects.filter(annotator=OuterRef("pk")).order_by().values("annotator")
    answers = theirs.filter(state=Assignment.State.SUBMITTED).annotate(rows=Count("pk")).values("rows")
    taken = theirs.annotate(last=Max("claimed")).values("last")
    finished = theirs.annotate(last=Max("finished")).values("last")
    return (
        visible_people(viewer)
        .annotate(
            answers=Coalesce(Subquery(answers), 0),
            last_seen=Greatest("last_login", Subquery(taken), Subquery(finished)),
        )
        .prefetch_related("groups", prefetch_visible_memberships(viewer))
        .order_by("-is_active", "username")
    )


def site_role(user: User) -> str:
    """A person's role on the whole site."""
    if user.is_superuser:
        return "Superuser"
    groups = {group.name for group in user.groups.all()}
    if ADMINS in groups or user.is_staff:
        return "Admin"
    if REVIEWERS in groups:
        return "Reviewer"
    if ANNOTATORS in groups:
        return "Annotator"
    return "Project member" if user.memberships.all() else "No role"


def annotators() -> QuerySet[User]:
    """Active people with the permission to label, without staff."""
    labels = Q(groups__permissions__codename="label", groups__permissions__content_type__app_label="labeling")
    direct = Q(user_permissions__codename="label", user_permissions__content_type__app_label="labeling")
    return User.objects.filter(labels | direct, is_active=True, is_staff=False).distinct()


def project_annotators(project: Project) -> QuerySet[User]:
    """The project's annotators: its members except its admins and, if it is open, all annotators."""
    members = project.memberships.exclude(role=Membership.Role.ADMIN)
    theirs = User.objects.filter(pk__in=members.values("person"), is_active=True, is_staff=False)
    if not project.everybody:
        return theirs
    return User.objects.filter(Q(pk__in=theirs.values("pk")) | Q(pk__in=annotators().values("pk")))


def is_imported(person: User) -> bool:
    """Whether a user stands for somebody whose answers were imported, and who never signs in."""
    return ImportedAnnotator.objects.filter(person=person).exists()


def can_deactivate(actor: User, person: User) -> bool:
    """Whether one person may deactivate another, or reactivate them: never themselves, nor somebody whose
    answers were imported; staff only as a superuser."""
    if actor == person or not actor.has_perm("labeling.invite") or is_imported(person):
        return False
    return actor.is_superuser or not (person.is_staff or person.is_superuser)


def deactivate(person: User, *, by: User) -> int:
    """Deactivate an account and release the tasks it holds. Returns how many. Raises PermissionDenied.

    Sessions and tokens of the account stop working.
    """
    _set_active(person, False, by=by)
    return queue.release_all(annotator=person)


def reactivate(person: User, *, by: User) -> None:
    """Reactivate an account with its previous permissions. Raises PermissionDenied."""
    _set_active(person, True, by=by)


def _set_active(person: User, active: bool, *, by: User) -> None:
    with transaction.atomic():
        # Locked: an admin must not deactivate somebody who becomes staff at this moment.
        row = User.objects.select_for_update().get(pk=person.pk)
        if not can_deactivate(by, row):
            raise PermissionDenied
        row.is_active = active
        row.save(update_fields=["is_active"])
        log_change(person, "Reactivated." if active else "Deactivated.", by=by)
    person.is_active = active
