"""Invitations: a link with a secret that lets one person make an account, once.

Only the SHA-256 of the secret is kept: whoever reads the database cannot use it. The secret has 256 bits, so
that it needs neither a slow hash nor a limit on guesses, and looking it up tells nothing by its time: what is
compared is a digest.
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
from labeling.people.memberships import may_give

Role = Membership.Role
LASTS = timedelta(days=7)
SECRET_BYTES = 32


class InvitationOver(Exception):  # noqa: N818 - what became of it, in one line for whoever has the link
    """The link was used, withdrawn, or has expired."""


def invite(
    *, name: str, role: str = Invitation.Role.ANNOTATOR, projects: Iterable[Project] = (), by: User
) -> tuple[Invitation, str]:
    """Invite somebody. Returns the invitation and its secret, which is told this once.

    With projects, the role is one in these alone; without, on the whole site. Raises PermissionDenied: nobody
    gives by an invitation what they could not give to somebody who is here.
    """
    projects = list(projects)
    if not _may_invite(by, role, projects or [None]):
        raise PermissionDenied
    secret = secrets.token_urlsafe(SECRET_BYTES)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            digest=digest(secret),
            name=name,
            role=role,
            everywhere=not projects,
            invited_by=by,
            expires=timezone.now() + LASTS,
        )
        invitation.projects.set(projects)
    return invitation, secret


def digest(secret: str) -> str:
    """What is kept of a secret: its SHA-256, in hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find(secret: str) -> Invitation | None:
    """The invitation of a link; None if there never was one."""
    return Invitation.objects.filter(digest=digest(secret)).select_related("invited_by").first()


def check_open(invitation: Invitation) -> None:
    """Raise InvitationOver unless somebody may still use it."""
    if invitation.accepted is not None:
        raise InvitationOver("This link has been used. If you made the account, sign in with it.")
    projects = list(invitation.projects.all())
    is_lost = not invitation.everywhere and not projects  # they were deleted
    # Rights that the inviter has lost are not given on.
    places = [*projects, None] if invitation.everywhere else projects
    rights_kept = _may_invite(invitation.invited_by, invitation.role, places)
    if invitation.withdrawn is not None or is_lost or not rights_kept:
        raise InvitationOver("This invitation was withdrawn. Ask for a new link.")
    if invitation.expires <= timezone.now():
        raise InvitationOver("This invitation has expired. Ask for a new link.")


def accept(invitation: Invitation, *, username: str, password: str) -> User:
    """Make the account that was chosen, with its role on the site or in its projects; the link is used up.

    Whoever is invited to projects by somebody who invites to the site as well can also label elsewhere.
    Raises InvitationOver, or IntegrityError if somebody took the name a moment ago.
    """
    with transaction.atomic():
        # Locked: of two who open the link at once, one gets in.
        rows = Invitation.objects.select_for_update(of=("self",)).select_related("invited_by")
        invitation = rows.get(pk=invitation.pk)
        check_open(invitation)
        role, by = invitation.role, invitation.invited_by
        person = User(username=username, is_staff=invitation.everywhere and role == Role.ADMIN)
        person.set_password(password)
        person.save()
        group = role if invitation.everywhere else Role.ANNOTATOR
        if may_give(by, group, None):
            person.groups.add(Group.objects.get(name=group))
        for project in invitation.projects.all():
            Membership.objects.create(project=project, person=person, role=role)
        invitation.accepted, invitation.accepted_by = timezone.now(), person
        invitation.save(update_fields=["accepted", "accepted_by"])
    return person


def withdraw(invitation: Invitation) -> bool:
    """Let nobody use a link any more; False if somebody has, or it was withdrawn before."""
    unused = Invitation.objects.filter(pk=invitation.pk, accepted=None, withdrawn=None)
    return bool(unused.update(withdrawn=timezone.now()))


def _may_invite(user: User, role: str, places: Sequence[Project | None]) -> bool:
    return user.is_active and all(may_give(user, role, place) for place in places)
