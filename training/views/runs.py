"""The list of runs, the page of a run, and its buttons."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from labeling.access import UserRequest, has_perm_in_any_project, login_required, permission_required
from labeling.models import Project
from training import notifications, runs
from training.forms.filters import RunFilter
from training.models import Run
from training.reports import evaluation_report
from training.reports.charts import metric_rows
from training.reports.curves import run_charts
from training.reports.failure_hints import failure_hint
from training.reports.logs import log_tail
from training.reports.parameters import parameters
from training.reports.queue_position import queue_position
from training.reports.resources import resources
from training.reports.result_summary import key_result
from training.reports.reward_report import reward_report
from training.reports.samples import sample_history
from training.reports.stop_reasons import stop_reason
from training.reports.task_priorities import task_priorities
from training.reports.tuning_report import tuning_report

STOP_POLLING = 286
"""The HTTP status at which htmx stops polling."""

PAGE_SIZE = 30

RELATED = ("project", "policy", "endpoint", "reward", "snapshot", "owner", "version")


# /runs/


@require_GET
@permission_required("training.view_run", any_project=True)
@never_cache
def run_list(request: UserRequest) -> HttpResponse:
    """The visible runs, newest first, filtered by kind, status, project and owner."""
    form = RunFilter(request.GET, projects=Project.objects.allowed(request.user, "training.view_run"))
    found = form.apply(Run.objects.visible_to(request.user), user=request.user)
    rows = found.select_related("project", "policy", "endpoint", "version", "owner")
    page = Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [(run, key_result(run)) for run in page],
        "query": form.query_string(),
        "is_moving": any(run.is_active for run in page),
        "may_start": has_perm_in_any_project(request.user, "training.add_run"),
    }
    return render(request, "training/run_list.html", context)


# /runs/<id>/


@require_GET
@login_required
@never_cache
def run_detail(request: UserRequest, pk: int) -> HttpResponse:
    """One run: progress, charts, samples, parameters, log and results."""
    run = get_object_or_404(visible_runs(request), pk=pk)
    context = {
        **progress_context(run, request),
        "parameters": parameters(run),
        "samples": sample_history(run),
        "log": log_tail(run),
    }
    return render(request, "training/run_detail.html", context)


@require_GET
@login_required
@never_cache
def run_progress(request: UserRequest, pk: int) -> HttpResponse:
    """The part of the page that changes; polled until the run has ended or is paused."""
    run = get_object_or_404(visible_runs(request), pk=pk)
    status = 200 if run.is_active else STOP_POLLING
    return render(request, "training/_run_progress.html", progress_context(run, request), status=status)


@require_POST
@login_required
def cancel_run(request: UserRequest, pk: int) -> HttpResponse:
    """Ask a run to stop."""
    run = changeable_run_or_404(request, pk)
    runs.cancel(run)
    return progress_response(request, run)


@require_POST
@login_required
def pause_run(request: UserRequest, pk: int) -> HttpResponse:
    """Ask a run to pause."""
    run = changeable_run_or_404(request, pk)
    runs.pause(run)
    return progress_response(request, run)


@require_POST
@login_required
def resume_run(request: UserRequest, pk: int) -> HttpResponse:
    """Queue a run that was paused or stopped early, to continue from its saved state."""
    run = changeable_run_or_404(request, pk)
    try:
        runs.resume(run)
    except runs.NotResumable as error:
        messages.error(request, str(error))
    return HttpResponseClientRefresh() if request.htmx else redirect(run)


def visible_runs(request: UserRequest) -> QuerySet[Run]:
    """The visible runs, with the related rows that the page shows."""
    return Run.objects.visible_to(request.user).select_related(*RELATED)


def changeable_run_or_404(request: UserRequest, pk: int) -> Run:
    """A run that the person may change; 404 if they may not see it, else PermissionDenied."""
    run = get_object_or_404(visible_runs(request), pk=pk)
    if not request.user.has_perm("training.change_run", run.project):
        raise PermissionDenied
    return run


def progress_response(request: UserRequest, run: Run) -> HttpResponse:
    """The response to a button: the changing part of the page, or a redirect without htmx."""
    if request.htmx:
        return render(request, "training/_run_progress.html", progress_context(run, request))
    return redirect(run)


def progress_context(run: Run, request: UserRequest) -> dict[str, Any]:
    """The context of the changing part of a run's page. Marks the end of the run as seen by its owner."""
    if not run.is_active:
        notifications.mark_seen(run, request.user)
    charts = run_charts(run)
    return {
        "run": run,
        "may_change": request.user.has_perm("training.change_run", run.project),
        "may_clone": request.user.has_perm("training.add_run", run.project),
        "queue_position": queue_position(run),
        "resources": resources(run),
        "failure_hint": failure_hint(run),
        "stop_reason": stop_reason(run),
        "charts": charts.charts,
        "stride": charts.stride,
        "metrics": metric_rows(run.metrics),
        "reward_report": reward_report(run),
        "tuning": tuning_report(run),
        "task_priorities": task_priorities(run),
        "notes": run.metrics.get("notes", []),
        "examples": run.metrics.get("examples", []),
        **(evaluation_report.evaluation_context(run) if run.metrics.get("judges") else {}),
    }
