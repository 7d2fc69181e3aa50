"""Invitations: a secret link with which one person can create an account, once.

Only the SHA-256 digest of the secret is stored, so the database does not reveal it. The secret has 256 bits:
it needs neither a slow hash nor rate limiting, and comparing digests makes timing attacks useless.
"""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from datetime import timedelta

from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from labeling.models import Invitation, Membership, Project
from labeling.people.memberships import can_grant_role

Role = Membership.Role
VALID_FOR = timedelta(days=7)
SECRET_BYTES = 32


class InvitationClosed(Exception):  # noqa: N818 - a state, with a message for the invited person
    """The invitation was used, withdrawn, or has expired."""


def invite(
    *, name: str, role: str = Invitation.Role.ANNOTATOR, projects: Iterable[Project] = (), by: User
) -> tuple[Invitation, str]:
    """Invite somebody. Returns the invitation and its secret, which cannot be retrieved later.

    With projects, the role applies in these only; without, on the whole site. PermissionDenied if `by` could
    not grant the role to an existing user.
    """
    projects = list(projects)
    if not _can_invite(by, role, projects or [None]):
        raise PermissionDenied
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            digest=digest(secret),
            name=name,
            role=role,
            everywhere=not projects,
            invited_by=by,
            expires=timezone.now() + VALID_FOR,
        )
        invitation.projects.set(projects)
    return invitation, secret


def digest(secret: str) -> str:
    """The SHA-256 of a secret, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find_invitation(secret: str) -> Invitation | None:
    """The invitation with this secret, or None."""
    return Invitation.objects.filter(digest=digest(secret)).select_related("invited_by").first()


def check_usable(invitation: Invitation) -> None:
    """Raise InvitationClosed unless the invitation can still be accepted."""
    if invitation.accepted is not None:
        raise InvitationClosed("This link has already been used. If you created the account, sign in.")
    projects = list(invitation.projects.all())
    is_orphaned = not invitation.everywhere and not projects  # they were deleted
    # The inviter must still be able to grant the role.
    scopes = [*projects, None] if invitation.everywhere else projects
    can_invite = _can_invite(invitation.invited_by, invitation.role, scopes)
    if invitation.withdrawn is not None or is_orphaned or not can_invite:
        raise InvitationClosed("This invitation was withdrawn. Ask for a new link.")
    if invitation.expires <= timezone.now():
        raise InvitationClosed("This invitation has expired. Ask for a new link.")


def accept(invitation: Invitation, *, username: str, password: str) -> User:
    """Create the account with its role on the site or in the projects; the link cannot be used again.

    An account invited to projects also becomes an annotator of the site if the inviter may grant that. Raises
    InvitationClosed, or IntegrityError if the user name was taken a moment ago.
    """
    with transaction.atomic():
        # Locked, so that only one of two simultaneous uses succeeds.
        rows = Invitation.objects.select_for_update(of=("self",)).select_related("invited_by")
        invitation = rows.get(pk=invitation.pk)
        check_usable(invitation)
        role, by = invitation.role, invitation.invited_by
        person = User(username=username, is_staff=invitation.everywhere and role == Role.ADMIN)
        person.set_password(password)
        person.save()
        group = role if invitation.everywhere else Role.ANNOTATOR
        if can_grant_role(by, group, None):
            person.groups.add(Group.objects.get(name=group))
        for project in invitation.projects.all():
            Membership.objects.create(project=project, person=person, role=role)
        invitation.accepted, invitation.accepted_by = timezone.now(), person
        invitation.save(update_fields=["accepted", "accepted_by"])
    return person


def withdraw(invitation: Invitation) -> bool:
    """Withdraw an invitation; False if it was already accepted or withdrawn."""
    unused = Invitation.objects.filter(pk=invitation.pk, accepted=None, withdrawn=None)
    return bool(unused.update(withdrawn=timezone.now()))


def _can_invite(user: User, role: str, scopes: Sequence[Project | None]) -> bool:
    return user.is_active and all(can_grant_role(user, role, scope) for scope in scopes)
