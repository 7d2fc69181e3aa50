"""Who has which part in a project. Nobody changes their own, and nobody gives what they do not have there."""

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet

from labeling import queue
from labeling.access import may, rights_of_roles
from labeling.models import Membership, Project
from labeling.people.audit_log import record

Role = Membership.Role


def may_give(actor: User, role: str, project: Project | None) -> bool:
    """Whether somebody may give a role in a project, or (None) on the whole site.

    It takes the right to invite there and every right of the role; admins of the whole site are of the staff,
    so only superusers make them.
    """
    if actor.is_superuser:
        return actor.is_active
    if project is None and role == Role.ADMIN:
        return False
    return may(actor, "labeling.invite", project) and _has_all_of(actor, role, project)


def _has_all_of(actor: User, role: str, project: Project | None) -> bool:
    ours = (right for right in rights_of_roles(actor)[role] if right.startswith(("labeling.", "training.")))
    return all(may(actor, right, project) for right in ours)


def roles_to_give(actor: User, project: Project) -> list[tuple[str, str]]:
    """The roles that somebody may give in a project, as choices of a form."""
    return [(value, label) for value, label in Role.choices if may_give(actor, value, project)]


def may_change(actor: User, membership: Membership) -> bool:
    """Whether somebody may change or end a membership: it is not theirs, and they could have given it."""
    return actor.pk != membership.person_id and may_give(actor, membership.role, membership.project)


def set_role(person: User, project: Project, role: str | None, *, by: User) -> bool:
    """Give somebody a role in a project, change it, or (None) end the membership; False if it was so before.

    Who may label there no more gives back the tasks they hold. Who did it stands in the person's history in
    the admin. Raises PermissionDenied.
    """
    with transaction.atomic():
        # Locked: somebody made an admin at this moment is not sent away by one who could not do that.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        held = Membership.objects.filter(project=project, person=person).select_related("project").first()
        if (held is not None and held.role == role) or (held is None and role is None):
            return False
        if by.pk == person.pk or (held is not None and not may_change(by, held)):
            raise PermissionDenied
        if role is None:
            held.delete()  # type: ignore[union-attr]  # or nothing would change
        elif not may_give(by, role, project):
            raise PermissionDenied
        else:
            Membership.objects.update_or_create(project=project, person=person, defaults={"role": role})
        record(person, f"{project.name}: {Role(role).label if role else 'no member any more'}.", by=by)
    if not Project.objects.allowed(User.objects.get(pk=person.pk), "labeling.label").contains(project):
        queue.release_all(annotator=person, project=project)
    return True


def keep(project: Project, *, by: User) -> None:
    """Make whoever makes or closes a project a member of it, lest nobody find it; a role they have stays.

    They become its admin if they are one on the whole site: nobody gets more by it than they had.
    """
    if project.everybody:
        return
    highest = (role for role in (Role.ADMIN, Role.REVIEWER) if _has_all_of(by, role, None))
    role = next(highest, Role.ANNOTATOR)
    Membership.objects.get_or_create(project=project, person=by, defaults={"role": role})


def may_open(actor: User) -> bool:
    """Whether somebody may open a project of theirs to everybody or close it.

    Only who sets projects up on the whole site: nobody is to shut out, or let in, people they do not look
    after.
    """
    return actor.has_perm("labeling.change_project")


def shown_to(viewer: User) -> Prefetch:
    """The memberships that a person's row shows: those in projects of which the viewer looks after people."""
    theirs = Project.objects.allowed(viewer, "labeling.invite")
    rows = Membership.objects.filter(project__in=theirs).select_related("project").order_by("project__name")
    return Prefetch("memberships", rows)


def known_to(viewer: User) -> QuerySet[User]:
    """The people whom somebody who invites looks after: everybody, or the members of their projects."""
    if viewer.has_perm("labeling.invite"):
        return User.objects.all()
    theirs = Project.objects.allowed(viewer, "labeling.invite")
    members = Membership.objects.filter(project__in=theirs)
    return User.objects.filter(Q(pk__in=members.values("person")))
