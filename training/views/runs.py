"""Pages on which runs are watched, and the buttons that steer them."""

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

from labeling.access import UserRequest, may, may_somewhere, right_required, signed_in
from labeling.models import Project
from training import notifications, runs
from training.forms.filters import RunFilter
from training.models import Run
from training.reports import evaluation_report
from training.reports.charts import figures
from training.reports.curves import drawn
from training.reports.failure_hints import advice
from training.reports.logs import tail
from training.reports.parameters import parameters
from training.reports.queue_position import waiting
from training.reports.resources import resources
from training.reports.results import result
from training.reports.reward_report import trust_in
from training.reports.samples import excerpts
from training.reports.stop_reasons import ending
from training.reports.task_priorities import ordering
from training.reports.tuning_report import tuning_report

STOP_POLLING = 286
"""htmx stops polling when it gets this status."""

PAGE = 30

RELATED = ("project", "policy", "reward", "snapshot", "owner", "version")


# /runs/


@require_GET
@right_required("training.view_run", somewhere=True)
@never_cache
def run_list(request: UserRequest) -> HttpResponse:
    """The runs that a person may look at, the latest first; by kind, status, project and owner."""
    form = RunFilter(request.GET, projects=Project.objects.allowed(request.user, "training.view_run"))
    found = form.apply(Run.objects.visible_to(request.user), user=request.user)
    rows = found.select_related("project", "policy", "version", "owner")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "page": page,
        "rows": [(run, result(run)) for run in page],
        "query": form.query_string(),
        "is_moving": any(run.is_active for run in page),
        "may_start": may_somewhere(request.user, "training.add_run"),
    }
    return render(request, "training/run_list.html", context)


# /runs/<id>/


@require_GET
@signed_in
@never_cache
def run_detail(request: UserRequest, pk: int) -> HttpResponse:
    """One run: how far it is, its curves, what its model writes, its log, what came of it."""
    run = get_object_or_404(visible(request), pk=pk)
    context = {
        **run_context(run, request),
        "parameters": parameters(run),
        "excerpts": excerpts(run),
        "log": tail(run),
    }
    return render(request, "training/run_detail.html", context)


@require_GET
@signed_in
@never_cache
def run_progress(request: UserRequest, pk: int) -> HttpResponse:
    """The part of the page that changes; polled until the run has ended or was set aside."""
    run = get_object_or_404(visible(request), pk=pk)
    status = 200 if run.is_active else STOP_POLLING
    return render(request, "training/_run_progress.html", run_context(run, request), status=status)


@require_POST
@signed_in
def cancel_run(request: UserRequest, pk: int) -> HttpResponse:
    """Ask a run to stop."""
    run = changeable(request, pk)
    runs.cancel(run)
    return moved(request, run)


@require_POST
@signed_in
def pause_run(request: UserRequest, pk: int) -> HttpResponse:
    """Ask a run to stop for now, to be taken up again."""
    run = changeable(request, pk)
    runs.pause(run)
    return moved(request, run)


@require_POST
@signed_in
def resume_run(request: UserRequest, pk: int) -> HttpResponse:
    """Queue a run that was paused or ended early to go on from the state it left; the page polls again."""
    run = changeable(request, pk)
    try:
        runs.resume(run)
    except runs.NotResumable as error:
        messages.error(request, str(error))
    return HttpResponseClientRefresh() if request.htmx else redirect(run)


def visible(request: UserRequest) -> QuerySet[Run]:
    """The runs that the person may look at, with what the page shows of others."""
    return Run.objects.visible_to(request.user).select_related(*RELATED)


def changeable(request: UserRequest, pk: int) -> Run:
    """A run that the person may steer: 404 where they may not see it, else PermissionDenied."""
    run = get_object_or_404(visible(request), pk=pk)
    if not may(request.user, "training.change_run", run.project):
        raise PermissionDenied
    return run


def moved(request: UserRequest, run: Run) -> HttpResponse:
    """Where the person is after a button: the same page, of which only the changing part comes anew."""
    if request.htmx:
        return render(request, "training/_run_progress.html", run_context(run, request))
    return redirect(run)


def run_context(run: Run, request: UserRequest) -> dict[str, Any]:
    """What the changing part of a run's page shows. Its owner has now seen that it ended."""
    if not run.is_active:
        notifications.mark_seen(run, request.user)
    pictures = drawn(run)
    return {
        "run": run,
        "may_change": may(request.user, "training.change_run", run.project),
        "may_clone": may(request.user, "training.add_run", run.project),
        "waiting": waiting(run),
        "resources": resources(run),
        "advice": advice(run),
        "ending": ending(run),
        "charts": pictures.charts,
        "every": pictures.every,
        "figures": figures(run.metrics),
        "trust": trust_in(run),
        "tuning": tuning_report(run),
        "ordering": ordering(run),
        "notes": run.metrics.get("notes", []),
        "examples": run.metrics.get("examples", []),
        **(evaluation_report.context(run) if run.metrics.get("judges") else {}),
    }
