"""The members section of the set-up page: add members, change their roles, remove them."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from labeling.access import UserRequest, allowed_project, login_required
from labeling.models import Project
from labeling.people.accounts import annotators
from labeling.people.forms import MemberForm
from labeling.people.memberships import can_change_membership, grantable_roles

MAX_SUGGESTED_NAMES = 200
"""Names suggested when adding a member; others can be typed."""

# /projects/<slug>/


@require_POST
@login_required
@never_cache
def members(request: UserRequest, slug: str) -> HttpResponse:
    """Add a member, change a role or remove a member; the response is the updated list."""
    project = allowed_project(request.user, slug, "labeling.invite")
    form = MemberForm(request.POST, project=project, by=request.user)
    saved = ""
    if form.is_valid():
        person = form.cleaned_data["username"].get_username()
        changed = form.save()
        saved = f"{person}: saved." if changed else f"{person}: no change."
        form = MemberForm(project=project, by=request.user)
    context = members_context(request.user, project) | {"member_form": form, "saved": saved}
    return render(request, "labeling/setup/_members.html", context, status=422 if form.is_bound else 200)


def members_context(user: User, project: Project) -> dict[str, Any]:
    """The context of the list of members for a user who may change it."""
    rows = project.memberships.select_related("person", "project")
    suggested_names: list[str] = []
    if user.has_perm("labeling.invite"):
        names = annotators().exclude(memberships__project=project).order_by("username")
        suggested_names = list(names.values_list("username", flat=True)[:MAX_SUGGESTED_NAMES])
    return {
        "project": project,
        "members": [{"membership": row, "may_change": can_change_membership(user, row)} for row in rows],
        "roles": grantable_roles(user, project),
        "suggested_names": suggested_names,
        "member_form": MemberForm(project=project, by=user),
    }
