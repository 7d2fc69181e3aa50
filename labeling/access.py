"""Who may see which page: people with the right for it; of assignments, only one's own."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, cast
from urllib.parse import urlsplit

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from labeling.models import Assignment, Project

P = ParamSpec("P")


class UserRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails


class ProjectBackend(BaseBackend):
    """Rights in one project: `user.has_perm("labeling.review", project)`."""

    def has_perm(self, user_obj: User | AnonymousUser, perm: str, obj: Any = None) -> bool:
        """Whether a person has a right in the project `obj`, as `Project.objects.allowed` says."""
        if not isinstance(obj, Project):
            return False
        return Project.objects.allowed(user_obj, perm).filter(pk=obj.pk).exists()


def allowed_project(user: User, slug: str, *rights: str) -> Project:
    """The project in which the person has all of the rights.

    404 where it does not exist or the person has no part in it, so that its name is not told; raises
    PermissionDenied where the person has a part in it but not the rights.
    """
    project = get_object_or_404(Project, slug=slug)
    if all(user.has_perm(right, project) for right in rights):
        return project
    if not has_a_part(user, project):
        raise Http404
    raise PermissionDenied


def has_a_part(user: User, project: Project) -> bool:
    """Whether a person knows of a project: it is open to everybody, or they are a member."""
    return user.is_superuser or project.everybody or project.memberships.filter(person=user).exists()


def right_required(
    *rights: str,
) -> Callable[
    [Callable[Concatenate[UserRequest, P], HttpResponse]], Callable[Concatenate[HttpRequest, P], HttpResponse]
]:
    """Send strangers to the sign-in page and refuse people without all of the rights."""

    def guard(
        view: Callable[Concatenate[UserRequest, P], HttpResponse],
    ) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not request.user.is_authenticated:
                return _sign_in(cast(UserRequest, request))
            if not request.user.has_perms(rights):
                raise PermissionDenied
            return view(cast(UserRequest, request), *args, **kwargs)

        return guarded

    return guard


annotator_required = right_required("labeling.label")


def own_assignment(user: User, pk: int) -> Assignment:
    """The person's own assignment, 404 for anybody else's."""
    assignments = Assignment.objects.select_related("project", "task__prompt", "annotator")
    return get_object_or_404(assignments, pk=pk, annotator=user)


def active_project(user: User, slug: str) -> Project:
    """A project in which the person may label now, or 404."""
    return get_object_or_404(Project.objects.for_annotator(user), slug=slug)


def _sign_in(request: UserRequest) -> HttpResponse:
    if not request.htmx:
        return redirect_to_login(request.get_full_path())
    # A fragment's address is no page to come back to: the page it was for is.
    page = urlsplit(request.htmx.current_url or "/").path
    return HttpResponseClientRedirect(redirect_to_login(page).url)
