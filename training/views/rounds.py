"""The page of a project's rounds: when they begin, beginning one now, and what became of them."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from labeling.access import UserRequest, allowed_project, may, signed_in
from labeling.models import Project
from training import rounds as loop
from training.forms.rounds import AutomationForm
from training.models import Automation, Round
from training.views.dashboard import last_rounds

MOST_ROUNDS = 50


@require_http_methods(["GET", "POST"])
@signed_in
@never_cache
def rounds(request: UserRequest, slug: str) -> HttpResponse:
    """When a project's rounds begin, and its history."""
    project = allowed_project(request.user, slug, "training.view_run")
    automation = _automation_of(project)
    if request.method == "GET":
        return _page(request, project, AutomationForm(instance=automation))
    if not may(request.user, "training.change_run", project):
        raise PermissionDenied
    form = AutomationForm(request.POST, instance=automation)
    if not form.is_valid():
        return _page(request, project, form, status=422)
    automation.changed_by = request.user
    form.save()
    messages.success(
        request,
        f"Saved: rounds begin by themselves after {automation.every:,} new comparisons."
        if automation.is_on
        else "Saved: rounds begin when somebody begins them.",
    )
    return redirect("training:rounds", slug)


@require_POST
@signed_in
def begin_round(request: UserRequest, slug: str) -> HttpResponse:
    """Begin a round now."""
    project = allowed_project(request.user, slug, "training.add_run")
    try:
        current = loop.begin(project, by=request.user)
    except loop.CannotBegin as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"Round {current.number} has begun: {current.train_reward} is queued.")
    return redirect("training:rounds", slug)


@require_POST
@signed_in
def stop_round(request: UserRequest, slug: str) -> HttpResponse:
    """Stop the round that is going, and cancel its run."""
    project = allowed_project(request.user, slug, "training.change_run")
    if loop.stop(project, by=request.user):
        messages.success(request, "The round is stopped; what it has made is kept.")
    else:
        messages.info(request, "No round is going on.")
    return redirect("training:rounds", slug)


def _page(request: UserRequest, project: Project, form: AutomationForm, *, status: int = 200) -> HttpResponse:
    rows = list(last_rounds(project)[:MOST_ROUNDS])
    going = rows[0] if rows and rows[0].outcome == Round.Outcome.IN_PROGRESS else None
    new = loop.count_new_comparisons(project)
    stored = _automation_of(project)
    context: dict[str, Any] = {
        "project": project,
        "form": form,
        "rounds": rows,
        "going": going,
        "obstacle": "" if going else loop.reason_not_to_begin(project),
        "new": new,
        "every": stored.every,
        "is_on": stored.is_on,
    }
    return render(request, "training/dashboard/rounds.html", context, status=status)


def _automation_of(project: Project) -> Automation:
    """As it is stored, or the usual one."""
    return Automation.objects.filter(project=project).first() or Automation(project=project)
