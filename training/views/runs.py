"""Pages on which admins watch runs."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRefresh

from training import runs
from training.models import Run
from training.reports import evaluation
from training.reports.charts import figures
from training.reports.curves import drawn
from training.reports.ordering import ordering
from training.reports.trust import trust_in
from training.reports.tuning import tuning_report

STOP_POLLING = 286
"""htmx stops polling when it gets this status."""

MOST_RUNS = 50


@require_GET
@login_required
@permission_required("training.view_run", raise_exception=True)
def run_list(request: HttpRequest) -> HttpResponse:
    """The latest runs."""
    latest = Run.objects.select_related("project", "policy", "version", "owner")[:MOST_RUNS]
    return render(request, "training/run_list.html", {"runs": latest})


@require_GET
@login_required
@permission_required("training.view_run", raise_exception=True)
def run_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: how far it is, its curves, what came of it."""
    return render(request, "training/run_detail.html", run_context(pk))


@require_GET
@login_required
@permission_required("training.view_run", raise_exception=True)
def run_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that changes; polled until the run has ended."""
    context = run_context(pk)
    status = 200 if context["run"].is_active else STOP_POLLING
    return render(request, "training/_run_progress.html", context, status=status)


@require_POST
@login_required
@permission_required("training.change_run", raise_exception=True)
def cancel_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask a run to stop."""
    run = get_object_or_404(Run, pk=pk)
    runs.cancel(run)
    if request.htmx:  # type: ignore[attr-defined]
        return render(request, "training/_run_progress.html", run_context(pk))
    return redirect(run)


@require_POST
@login_required
@permission_required("training.change_run", raise_exception=True)
def resume_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Queue a run that ended early to go on from the state it left; the page begins to poll again."""
    run = get_object_or_404(Run, pk=pk)
    try:
        runs.resume(run)
    except runs.NotResumable as error:
        messages.error(request, str(error))
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponseClientRefresh()
    return redirect(run)


def run_context(pk: int) -> dict[str, Any]:
    related = ("project", "policy", "reward", "snapshot", "owner", "version")
    run = get_object_or_404(Run.objects.select_related(*related), pk=pk)
    return {
        "run": run,
        "charts": drawn(run).charts,
        "figures": figures(run.metrics),
        "trust": trust_in(run),
        "tuning": tuning_report(run),
        "ordering": ordering(run),
        "notes": run.metrics.get("notes", []),
        "examples": run.metrics.get("examples", []),
        **(evaluation.context(run) if run.metrics.get("judges") else {}),
        "waiting_before": Run.objects.active().filter(pk__lt=run.pk, detached=True).count()
        if run.status == Run.Status.QUEUED
        else 0,
    }
