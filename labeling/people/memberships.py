"""Project memberships. Nobody changes their own role, or grants permissions they do not have themselves."""

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet

from labeling import queue
from labeling.access import role_permissions
from labeling.models import Assignment, ImportedAnnotator, Membership, Project
from labeling.people.audit_log import log_change

Role = Membership.Role


def can_grant_role(actor: User, role: str, project: Project | None) -> bool:
    """Whether somebody may grant a role in a project, or (None) on the whole site.

    Requires the permission to invite there and all permissions of the role. Admins of the whole site are
    staff, so only superusers can create them.
    """
    if actor.is_superuser:
        return actor.is_active
    if project is None and role == Role.ADMIN:
        return False
    return actor.has_perm("labeling.invite", project) and _has_role_permissions(actor, role, project)


def _has_role_permissions(actor: User, role: str, project: Project | None) -> bool:
    ours = (perm for perm in role_permissions(actor)[role] if perm.startswith(("labeling.", "training.")))
    return all(actor.has_perm(perm, project) for perm in ours)


def grantable_roles(actor: User, project: Project) -> list[tuple[str, str]]:
    """The roles that somebody may grant in a project, as form choices."""
    return [(value, label) for value, label in Role.choices if can_grant_role(actor, value, project)]


def can_change_membership(actor: User, membership: Membership) -> bool:
    """Whether somebody may change or end a membership: not their own, and of a role they may grant."""
    return actor.pk != membership.person_id and can_grant_role(actor, membership.role, membership.project)


def set_role(person: User, project: Project, role: str | None, *, by: User) -> bool:
    """Set somebody's role in a project, or (None) end the membership; False if nothing changed.

    Tasks of somebody who may no longer label there are released. The change is logged in the admin. Raises
    PermissionDenied.
    """
    with transaction.atomic():
        # Locked: roles are checked against the state that is changed.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        held = Membership.objects.filter(project=project, person=person).select_related("project").first()
        if (held is not None and held.role == role) or (held is None and role is None):
            return False
        if by.pk == person.pk or (held is not None and not can_change_membership(by, held)):
            raise PermissionDenied
        if role is None:
            held.delete()  # type: ignore[union-attr]  # or nothing would change
        elif not can_grant_role(by, role, project):
            raise PermissionDenied
        else:
            Membership.objects.update_or_create(project=project, person=person, defaults={"role": role})
        log_change(person, f"{project.name}: {Role(role).label if role else 'membership removed'}.", by=by)
    if not Project.objects.allowed(User.objects.get(pk=person.pk), "labeling.label").contains(project):
        queue.release_all(annotator=person, project=project)
    return True


def ensure_membership(project: Project, *, by: User) -> None:
    """Make the person who creates or closes a project a member, so that it stays visible to somebody.

    They get the highest role whose permissions they have on the whole site; an existing role stays.
    """
    if project.everybody:
        return
    highest = (role for role in (Role.ADMIN, Role.REVIEWER) if _has_role_permissions(by, role, None))
    role = next(highest, Role.ANNOTATOR)
    Membership.objects.get_or_create(project=project, person=by, defaults={"role": role})


def can_open_project(actor: User) -> bool:
    """Whether somebody may open a project to everybody or close it: only who can change projects on the whole
    site, since it affects people outside their own projects."""
    return actor.has_perm("labeling.change_project")


def prefetch_visible_memberships(viewer: User) -> Prefetch:
    """Prefetch people's memberships in the projects whose members the viewer manages."""
    theirs = Project.objects.allowed(viewer, "labeling.invite")
    rows = Membership.objects.filter(project__in=theirs).select_related("project").order_by("project__name")
    return Prefetch("memberships", rows)


def visible_people(viewer: User) -> QuerySet[User]:
    """The people an inviter manages: everybody, or the members of their projects, and the annotators whose
    answers were imported there."""
    if viewer.has_perm("labeling.invite"):
        return User.objects.all()
    theirs = Project.objects.allowed(viewer, "labeling.invite")
    members = Membership.objects.filter(project__in=theirs)
    answered = Assignment.objects.filter(project__in=theirs).order_by().values("annotator")
    imported = ImportedAnnotator.objects.filter(person__in=answered)
    return User.objects.filter(Q(pk__in=members.values("person")) | Q(pk__in=imported.values("person")))
