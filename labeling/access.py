"""Who may see which page: people with the right for it; of assignments, only one's own."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast
from urllib.parse import urlsplit

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser, Group, User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from labeling.models import Assignment, Membership, Project

P = ParamSpec("P")
T = TypeVar("T")


class UserRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails


class ProjectBackend(BaseBackend):
    """Rights in one project: `user.has_perm("labeling.review", project)`.

    What `Project.objects.allowed` says, for a project at hand. As Django keeps what a person may do on the
    instance of the user, so are their memberships: many questions in one request cost two queries.
    """

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: Any = None) -> bool:
        """Whether a person has a right in the project `obj`."""
        if not isinstance(obj, Project) or not isinstance(user_obj, User) or not user_obj.is_active:
            return False
        if user_obj.has_perm(perm):
            return user_obj.is_superuser or obj.everybody or obj.pk in roles_of(user_obj)
        role = roles_of(user_obj).get(obj.pk)
        return role is not None and perm in rights_of_roles(user_obj)[role]


def roles_of(user: User) -> dict[int, str]:
    """The person's role in each project they are a member of, by the project's key."""
    return _kept(user, "_roles_in_projects", lambda: dict(user.memberships.values_list("project", "role")))


def rights_of_roles(user: User) -> dict[str, set[str]]:
    """What each role gives, such as "labeling.review"; read once for this instance of the user."""

    def read() -> dict[str, set[str]]:
        rights: dict[str, set[str]] = {role: set() for role in Membership.Role.values}
        groups = Group.objects.filter(name__in=rights)
        for name, app, codename in groups.values_list(
            "name", "permissions__content_type__app_label", "permissions__codename"
        ):
            rights[name].add(f"{app}.{codename}")
        return rights

    return _kept(user, "_rights_of_roles", read)


def _kept(user: User, name: str, read: Callable[[], T]) -> T:
    if not hasattr(user, name):
        setattr(user, name, read())
    value: T = getattr(user, name)
    return value


def may(user: User | AnonymousUser, right: str, project: Project | None) -> bool:
    """Whether a person has a right in a project; of what belongs to no project, on the whole site."""
    return user.has_perm(right, project)


def may_somewhere(user: User | AnonymousUser, right: str) -> bool:
    """Whether a person has a right on the whole site or in a project at least."""
    if not isinstance(user, User) or not user.is_active:
        return False
    if user.has_perm(right):
        return True
    roles = set(roles_of(user).values())
    return bool(roles) and any(right in rights_of_roles(user)[role] for role in roles)


def allowed_project(user: User, slug: str, *rights: str) -> Project:
    """The project in which the person has all of the rights.

    404 where it does not exist or the person has no part in it, so that its name is not told; raises
    PermissionDenied where the person has a part in it but not the rights.
    """
    project = get_object_or_404(Project, slug=slug)
    if all(may(user, right, project) for right in rights) and has_a_part(user, project):
        return project
    if not has_a_part(user, project):
        raise Http404
    raise PermissionDenied


def has_a_part(user: User, project: Project) -> bool:
    """Whether a person knows of a project: it is open to everybody, or they are a member."""
    return user.is_superuser or project.everybody or project.pk in roles_of(user)


def right_required(
    *rights: str, somewhere: bool = False
) -> Callable[
    [Callable[Concatenate[UserRequest, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, P], HttpResponseBase],
]:
    """Send strangers to the sign-in page and refuse people without all of the rights on the whole site.

    With `somewhere`, the rights in one project are enough: for pages that show what belongs to those projects
    alone. A page about one project asks for none here, and for the project by `allowed_project`.
    """

    def guard(
        view: Callable[Concatenate[UserRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            user = request.user
            if not user.is_authenticated:
                return _sign_in(cast(UserRequest, request))
            if not all(may_somewhere(user, right) if somewhere else user.has_perm(right) for right in rights):
                raise PermissionDenied
            return view(cast(UserRequest, request), *args, **kwargs)

        return guarded

    return guard


signed_in = right_required()
annotator_required = right_required("labeling.label", somewhere=True)


def own_assignment(user: User, pk: int) -> Assignment:
    """The person's own assignment, 404 for anybody else's, and in a project that they have left."""
    assignments = Assignment.objects.select_related("project", "task__prompt", "annotator")
    own = get_object_or_404(assignments, pk=pk, annotator=user)
    if not may(user, "labeling.label", own.project):
        raise Http404
    return own


def active_project(user: User, slug: str) -> Project:
    """A project in which the person may label now, or 404."""
    return get_object_or_404(Project.objects.for_annotator(user), slug=slug)


def _sign_in(request: UserRequest) -> HttpResponse:
    if not request.htmx:
        return redirect_to_login(request.get_full_path())
    # A fragment's address is no page to come back to: the page it was for is.
    page = urlsplit(request.htmx.current_url or "/").path
    return HttpResponseClientRedirect(redirect_to_login(page).url)
