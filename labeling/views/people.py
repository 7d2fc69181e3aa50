"""People and invitations: the list, a person's page, and the page that accepts an invitation."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from labeling.access import UserRequest, permission_required
from labeling.models import Invitation, Project
from labeling.people import accounts, answer_deletion, invitations
from labeling.people.forms import AccountForm, InvitationForm, RolesForm
from labeling.people.memberships import visible_people

PAGE_SIZE = 50
MAX_PAST_INVITATIONS = 10

can_invite = permission_required("labeling.invite", any_project=True)


# /people/


@require_GET
@can_invite
@never_cache
def people(request: UserRequest) -> HttpResponse:
    """The people this user manages, and open invitations; with `imported`, the annotators of other tools."""
    query = request.GET.get("q", "").strip()
    everybody = accounts.people_with_activity(request.user)
    shows_imported = bool(request.GET.get("imported"))
    rows = everybody.filter(imported_annotator__isnull=not shows_imported)
    if query and "\x00" not in query:
        rows = rows.filter(username__icontains=query)
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    closed_projects = Project.objects.allowed(request.user, "labeling.invite").filter(everybody=False)
    project = closed_projects.filter(slug=request.GET.get("project", "")).first()
    form = InvitationForm(by=request.user, initial={"projects": [project] if project else []})
    context = {
        "page": page,
        "rows": [(each, accounts.site_role(each)) for each in page],
        "query": query,
        "shows_imported": shows_imported,
        "imported_count": 0 if shows_imported else everybody.exclude(imported_annotator=None).count(),
        "form": form,
        **_invitations(request.user),
    }
    return render(request, "labeling/people/people.html", context)


@require_POST
@can_invite
@never_cache
def invite(request: UserRequest) -> HttpResponse:
    """Create an invitation; only this response shows its link."""
    form = InvitationForm(request.POST, by=request.user)
    if not form.is_valid():
        return render(request, "labeling/people/_invite.html", {"form": form}, status=422)
    given = form.cleaned_data
    invitation, secret = invitations.invite(
        name=given["name"], role=given["role"], projects=given["projects"], by=request.user
    )
    context = {
        "form": InvitationForm(by=request.user),
        "invitation": invitation,
        "link": request.build_absolute_uri(reverse("labeling:accept_invitation", args=[secret])),
        **_invitations(request.user),
    }
    return render(request, "labeling/people/_invite_response.html", context)


@require_GET
@can_invite
@never_cache
def person(request: UserRequest, pk: int) -> HttpResponse:
    """One person: roles, projects, last activity, account."""
    found = get_object_or_404(accounts.people_with_activity(request.user), pk=pk)
    return render(
        request,
        "labeling/people/person.html",
        {
            "person": found,
            "role": "Imported annotator" if accounts.is_imported(found) else accounts.site_role(found),
            "form": RolesForm(person=found, by=request.user),
            "can_manage": accounts.can_deactivate(request.user, found),
            "can_delete_answers": answer_deletion.can_delete_answers(request.user, found),
            "invitation": Invitation.objects.filter(accepted_by=found).select_related("invited_by").first(),
        },
    )


@require_POST
@can_invite
def projects(request: UserRequest, pk: int) -> HttpResponse:
    """Change a person's roles in the projects whose members this user manages."""
    found = get_object_or_404(visible_people(request.user), pk=pk)
    form = RolesForm(request.POST, person=found, by=request.user)
    if form.is_valid():
        form.save()
        messages.success(request, "Saved.")
    else:
        messages.error(request, "You cannot give one of these roles. Nothing was changed.")
    # Removed from all of this user's projects, the person is no longer visible to them.
    still_known = visible_people(request.user).filter(pk=pk).exists()
    return redirect("labeling:person", pk) if still_known else redirect("labeling:people")


@require_POST
@can_invite
def deactivate(request: UserRequest, pk: int) -> HttpResponse:
    """Deactivate an account: its owner can no longer sign in."""
    found = get_object_or_404(visible_people(request.user), pk=pk)
    released = accounts.deactivate(found, by=request.user)
    kept = "Their answers are kept."
    if released:
        kept += f" {released} task{'s' if released > 1 else ''} went back to the queue."
    messages.success(request, f"{found.get_username()} can no longer sign in. {kept}")
    return redirect("labeling:person", pk)


@require_POST
@can_invite
def reactivate(request: UserRequest, pk: int) -> HttpResponse:
    """Reactivate an account."""
    found = get_object_or_404(visible_people(request.user), pk=pk)
    accounts.reactivate(found, by=request.user)
    messages.success(request, f"{found.get_username()} can sign in again.")
    return redirect("labeling:person", pk)


# /invitations/


@require_POST
@can_invite
def withdraw(request: UserRequest, pk: int) -> HttpResponse:
    """Withdraw an invitation: its link stops working."""
    invitation = get_object_or_404(Invitation.objects.visible_to(request.user), pk=pk)
    if invitations.withdraw(invitation):
        messages.success(request, f"The link for {invitation.name} is withdrawn and no longer works.")
    else:
        messages.warning(request, f"The link for {invitation.name} was already used or withdrawn.")
    return redirect("labeling:people")


@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
@never_cache
def accept(request: HttpRequest, secret: str) -> HttpResponse:
    """Create an account from an invitation: choose a user name and a password, and sign in."""
    invitation = invitations.find_invitation(secret)
    if invitation is None:
        raise Http404
    form = AccountForm(request.POST or None)
    try:
        invitations.check_usable(invitation)
        if request.user.is_authenticated:
            return render(request, "labeling/people/already_signed_in.html", status=403)
        if request.method == "POST" and form.is_valid():
            person = _accept(invitation, form)
            login(request, person, backend="django.contrib.auth.backends.ModelBackend")
            return redirect("labeling:projects")
    except invitations.InvitationClosed as over:
        return render(request, "labeling/people/invitation_closed.html", {"reason": over}, status=410)
    except IntegrityError:
        form.add_error("username", "This name was taken a moment ago. Choose another.")
    context = {"form": form, "invitation": invitation}
    return render(
        request, "labeling/people/accept_invitation.html", context, status=422 if form.is_bound else 200
    )


def _accept(invitation: Invitation, form: AccountForm) -> User:
    with transaction.atomic():
        given = form.cleaned_data
        return invitations.accept(invitation, username=given["username"], password=given["password1"])


def _invitations(viewer: User) -> dict[str, Any]:
    """The open invitations, and the latest past ones."""
    rows = Invitation.objects.visible_to(viewer)
    rows = rows.select_related("invited_by", "accepted_by").prefetch_related("projects")
    open_invitations = rows.filter(accepted=None, withdrawn=None, expires__gt=timezone.now())
    past = rows.exclude(pk__in=open_invitations.values("pk"))[:MAX_PAST_INVITATIONS]
    return {"open_invitations": open_invitations, "past_invitations": past}
