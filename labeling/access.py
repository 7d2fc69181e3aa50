"""Access control: permissions by project, decorators for views, and 404s for what is not one's own."""

from collections.abc import Callable
from functools import partial, wraps
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
    """A request of an authenticated user."""

    user: User
    htmx: HtmxDetails


class ProjectBackend(BaseBackend):
    """Permissions in one project: `user.has_perm("labeling.review", project)`.

    Gives the same answers as `Project.objects.allowed`, for one project. Memberships are cached on the user
    instance, as Django caches permissions: many checks in one request cost two queries.
    """

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: Any = None) -> bool:
        """Whether a person has a permission in the project `obj`."""
        if not isinstance(obj, Project) or not isinstance(user_obj, User) or not user_obj.is_active:
            return False
        if user_obj.has_perm(perm):
            return user_obj.is_superuser or obj.everybody or obj.pk in project_roles(user_obj)
        role = project_roles(user_obj).get(obj.pk)
        return role is not None and perm in role_permissions(user_obj)[role]


def project_roles(user: User) -> dict[int, str]:
    """The person's role in each project they are a member of, by the project's key."""
    return _cached_on_user(
        user, "_project_roles", lambda: dict(user.memberships.values_list("project", "role"))
    )


def role_permissions(user: User) -> dict[str, set[str]]:
    """The permissions of each role, such as "labeling.review"; read once for this instance of the user."""

    def read() -> dict[str, set[str]]:
        permissions: dict[str, set[str]] = {role: set() for role in Membership.Role.values}
        groups = Group.objects.filter(name__in=permissions)
        for name, app, codename in groups.values_list(
            "name", "permissions__content_type__app_label", "permissions__codename"
        ):
            permissions[name].add(f"{app}.{codename}")
        return permissions

    return _cached_on_user(user, "_role_permissions", read)


def _cached_on_user(user: User, name: str, read: Callable[[], T]) -> T:
    if not hasattr(user, name):
        setattr(user, name, read())
    value: T = getattr(user, name)
    return value


def has_perm_in_any_project(user: User | AnonymousUser, perm: str) -> bool:
    """Whether a person has a permission on the whole site or in at least one project."""
    if not isinstance(user, User) or not user.is_active:
        return False
    if user.has_perm(perm):
        return True
    roles = set(project_roles(user).values())
    return bool(roles) and any(perm in role_permissions(user)[role] for role in roles)


def allowed_project(user: User, slug: str, *perms: str) -> Project:
    """The project, if the person has all of the permissions in it.

    404 where it does not exist or the person cannot see it, so that its name is not disclosed; raises
    PermissionDenied where they can see it but lack a permission.
    """
    project = get_object_or_404(Project, slug=slug)
    if not can_see_project(user, project):
        raise Http404
    if not all(user.has_perm(perm, project) for perm in perms):
        raise PermissionDenied
    return project


def can_see_project(user: User, project: Project) -> bool:
    """Whether a project is open to everybody or the person is a member of it."""
    return user.is_superuser or project.everybody or project.pk in project_roles(user)


def permission_required(
    *perms: str, any_project: bool = False
) -> Callable[
    [Callable[Concatenate[UserRequest, P], HttpResponseBase]],
    Callable[Concatenate[HttpRequest, P], HttpResponseBase],
]:
    """Redirect anonymous users to the login page; PermissionDenied without all permissions on the whole site.

    With `any_project`, having the permissions in one project is enough: for pages that list only what belongs
    to those projects. A page about one project uses `login_required` and checks with `allowed_project`.
    """

    def decorator(
        view: Callable[Concatenate[UserRequest, P], HttpResponseBase],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
        @wraps(view)
        def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            user = request.user
            if not user.is_authenticated:
                return _redirect_to_login(cast(UserRequest, request))
            has_perm = user.has_perm if not any_project else partial(has_perm_in_any_project, user)
            if not all(has_perm(perm) for perm in perms):
                raise PermissionDenied
            return view(cast(UserRequest, request), *args, **kwargs)

        return wrapper

    return decorator


login_required = permission_required()
annotator_required = permission_required("labeling.label", any_project=True)


def own_assignment(user: User, pk: int) -> Assignment:
    """The person's own assignment; 404 for anybody else's, and in a project that they have left."""
    assignments = Assignment.objects.select_related("project", "task__prompt", "annotator")
    own = get_object_or_404(assignments, pk=pk, annotator=user)
    if not user.has_perm("labeling.label", own.project):
        raise Http404
    return own


def active_project(user: User, slug: str) -> Project:
    """A project in which the person may label now, or 404."""
    return get_object_or_404(Project.objects.for_annotator(user), slug=slug)


def _redirect_to_login(request: UserRequest) -> HttpResponse:
    if not request.htmx:
        return redirect_to_login(request.get_full_path())
    # After login, return to the page, not to the fragment that htmx asked for.
    page = urlsplit(request.htmx.current_url or "/").path
    return HttpResponseClientRedirect(redirect_to_login(page).url)
