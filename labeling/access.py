"""Who may see which page: people with the right for it; of assignments, only one's own."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, cast
from urllib.parse import urlsplit

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django_htmx.http import HttpResponseClientRedirect
from django_htmx.middleware import HtmxDetails

from labeling.models import Assignment, Project

P = ParamSpec("P")


class UserRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: HtmxDetails


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
