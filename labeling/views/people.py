"""People: who is here, who is invited, and the page on which an invitation is accepted."""

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

from labeling.access import UserRequest, right_required
from labeling.models import Invitation, Project
from labeling.people import accounts, deletion, invitations
from labeling.people.forms import AccountForm, InvitationForm, RolesForm
from labeling.people.memberships import known_to

PAGE = 50
PAST_INVITATIONS = 10

invites = right_required("labeling.invite", somewhere=True)


# /people/


@require_GET
@invites
@never_cache
def people(request: UserRequest) -> HttpResponse:
    """Whom the reader looks after, and the invitations that are out."""
    wanted = request.GET.get("q", "").strip()
    rows = accounts.roster(request.user)
    if wanted and "\x00" not in wanted:
        rows = rows.filter(username__icontains=wanted)
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    theirs = Project.objects.allowed(request.user, "labeling.invite").filter(everybody=False)
    project = theirs.filter(slug=request.GET.get("project", "")).first()
    form = InvitationForm(by=request.user, initial={"projects": [project] if project else []})
    context = {
        "page": page,
        "rows": [(each, accounts.role_of(each)) for each in page],
        "wanted": wanted,
        "form": form,
        **_invitations(request.user),
    }
    return render(request, "labeling/people/people.html", context)


@require_POST
@invites
@never_cache
def invite(request: UserRequest) -> HttpResponse:
    """Make an invitation; the response shows its link, this once."""
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
@invites
@never_cache
def person(request: UserRequest, pk: int) -> HttpResponse:
    """One person: what they may do and where, when they were here."""
    found = get_object_or_404(accounts.roster(request.user), pk=pk)
    return render(
        request,
        "labeling/people/person.html",
        {
            "person": found,
            "role": accounts.role_of(found),
            "form": RolesForm(person=found, by=request.user),
            "may_manage": accounts.may_manage(request.user, found),
            "may_erase": deletion.may_erase(request.user, found),
            "invitation": Invitation.objects.filter(accepted_by=found).select_related("invited_by").first(),
        },
    )


@require_POST
@invites
def projects(request: UserRequest, pk: int) -> HttpResponse:
    """Choose the part that somebody has in each of the projects whose people the reader looks after."""
    found = get_object_or_404(known_to(request.user), pk=pk)
    form = RolesForm(request.POST, person=found, by=request.user)
    if form.is_valid():
        form.save()
        messages.success(request, "Saved.")
    else:
        messages.error(request, "You cannot give one of these roles. Nothing was changed.")
    # Out of all of the reader's projects, they are no longer the reader's to look after.
    still_known = known_to(request.user).filter(pk=pk).exists()
    return redirect("labeling:person", pk) if still_known else redirect("labeling:people")


@require_POST
@invites
def deactivate(request: UserRequest, pk: int) -> HttpResponse:
    """Let somebody sign in no more."""
    found = get_object_or_404(known_to(request.user), pk=pk)
    released = accounts.deactivate(found, by=request.user)
    kept = "Their answers are kept."
    if released:
        kept += f" {released} task{'s' if released > 1 else ''}went back to the queue."
    messages.success(request, f"{found.get_username()} can no longer sign in. {kept}")
    return redirect("labeling:person", pk)


@require_POST
@invites
def reactivate(request: UserRequest, pk: int) -> HttpResponse:
    """Let somebody sign in again."""
    found = get_object_or_404(known_to(request.user), pk=pk)
    accounts.reactivate(found, by=request.user)
    messages.success(request, f"{found.get_username()} can sign in again.")
    return redirect("labeling:person", pk)


# /invitations/


@require_POST
@invites
def withdraw(request: UserRequest, pk: int) -> HttpResponse:
    """Let nobody use an invitation's link any more."""
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
    """Choose a user name and a password, and begin. The link is for somebody who has no account yet."""
    invitation = invitations.find(secret)
    if invitation is None:
        raise Http404
    form = AccountForm(request.POST or None)
    try:
        invitations.check_open(invitation)
        if request.user.is_authenticated:
            return render(request, "labeling/people/already_signed_in.html", status=403)
        if request.method == "POST" and form.is_valid():
            person = _account(invitation, form)
            login(request, person, backend="django.contrib.auth.backends.ModelBackend")
            return redirect("labeling:projects")
    except invitations.InvitationOver as over:
        return render(request, "labeling/people/invitation_closed.html", {"over": over}, status=410)
    except IntegrityError:
        form.add_error("username", "This name was taken a moment ago. Choose another.")
    context = {"form": form, "invitation": invitation}
    return render(
        request, "labeling/people/accept_invitation.html", context, status=422 if form.is_bound else 200
    )


def _account(invitation: Invitation, form: AccountForm) -> User:
    with transaction.atomic():
        given = form.cleaned_data
        return invitations.accept(invitation, username=given["username"], password=given["password1"])


def _invitations(viewer: User) -> dict[str, Any]:
    """Those that can still be used, and what became of the latest others."""
    rows = Invitation.objects.visible_to(viewer)
    rows = rows.select_related("invited_by", "accepted_by").prefetch_related("projects")
    waiting = rows.filter(accepted=None, withdrawn=None, expires__gt=timezone.now())
    past = rows.exclude(pk__in=waiting.values("pk"))[:PAST_INVITATIONS]
    return {"waiting": waiting, "past": past}
