"""The page of a project's rounds: automatic rounds, starting one now, and the history."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from labeling.access import UserRequest, allowed_project, login_required
from labeling.models import Project
from training import rounds as round_actions
from training.forms.rounds import AutomationForm
from training.models import Automation, Round
from training.views.dashboard import last_rounds

MAX_ROUNDS = 50


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
def rounds(request: UserRequest, slug: str) -> HttpResponse:
    """The settings of automatic rounds, and the history of rounds."""
    project = allowed_project(request.user, slug, "training.view_run")
    automation = automation_for(project)
    if request.method == "GET":
        return render_page(request, project, AutomationForm(instance=automation))
    if not request.user.has_perm("training.change_run", project):
        raise PermissionDenied
    form = AutomationForm(request.POST, instance=automation)
    if not form.is_valid():
        return render_page(request, project, form, status=422)
    automation.changed_by = request.user
    form.save()
    messages.success(
        request,
        f"Saved: rounds start automatically after {automation.every:,} new comparisons."
        if automation.is_on
        else "Saved: rounds start only when someone starts them.",
    )
    return redirect("training:rounds", slug)


@require_POST
@login_required
def begin_round(request: UserRequest, slug: str) -> HttpResponse:
    """Start a round now."""
    project = allowed_project(request.user, slug, "training.add_run")
    try:
        current = round_actions.begin(project, by=request.user)
    except round_actions.CannotBegin as refusal:
        messages.error(request, str(refusal))
    else:
        messages.success(request, f"Round {current.number} has started: {current.train_reward} is queued.")
    return redirect("training:rounds", slug)


@require_POST
@login_required
def stop_round(request: UserRequest, slug: str) -> HttpResponse:
    """Stop the current round, and cancel its run."""
    project = allowed_project(request.user, slug, "training.change_run")
    if round_actions.stop(project, by=request.user):
        messages.success(request, "The round is stopped; finished versions are kept.")
    else:
        messages.info(request, "No round is running.")
    return redirect("training:rounds", slug)


def render_page(
    request: UserRequest, project: Project, form: AutomationForm, *, status: int = 200
) -> HttpResponse:
    rows = list(last_rounds(project)[:MAX_ROUNDS])
    current = rows[0] if rows and rows[0].outcome == Round.Outcome.IN_PROGRESS else None
    new = round_actions.count_new_comparisons(project)
    stored = automation_for(project)
    context: dict[str, Any] = {
        "project": project,
        "form": form,
        "rounds": rows,
        "current": current,
        "obstacle": "" if current else round_actions.reason_not_to_begin(project),
        "new": new,
        "every": stored.every,
        "is_on": stored.is_on,
    }
    return render(request, "training/dashboard/rounds.html", context, status=status)


def automation_for(project: Project) -> Automation:
    """The stored settings of a project, or the defaults."""
    return Automation.objects.filter(project=project).first() or Automation(project=project)
