"""Imports on the setup page: an upload is previewed, its columns are named, and it is imported."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import reswap, retarget, trigger_client_event

from labeling.access import UserRequest, allowed_project, login_required
from labeling.forms import ImportOptionsForm, UploadForm
from labeling.imports import ImportBusy, background
from labeling.imports.summary import describe_json
from labeling.imports.uploads import Preview, preview, store_upload
from labeling.models import DataImport, Project
from labeling.setup.readiness import readiness_steps

CHANGE_PROJECT = "labeling.change_project"


# /projects/<slug>/imports/


@require_POST
@login_required
@never_cache
def upload(request: UserRequest, slug: str) -> HttpResponse:
    """Keep an upload, and show what an import would make of it. Nothing is imported yet."""
    project = allowed_project(request.user, slug, CHANGE_PROJECT)
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        return render(request, "labeling/setup/_import_problems.html", {"form": form})
    file, text = form.cleaned_data.get("file"), form.cleaned_data["text"]
    if not file and not text.strip():
        return HttpResponse()
    options = _replace_earlier(project, request.user, is_text=not file)
    stored = store_upload(project, author=request.user, file=file, text=text, options=options)
    return _render_preview(request, stored)


def _replace_earlier(project: Project, user: User, *, is_text: bool) -> dict[str, Any]:
    """Delete what this person was looking at before; of a text that goes on being typed, keep the options."""
    options: dict[str, Any] = {}
    earlier = DataImport.objects.filter(
        project=project, author=user, state=DataImport.State.PREVIEWED, idempotency_key=""
    )
    for each in earlier.order_by("pk"):
        if is_text and not each.file_name:
            options = each.options
        each.delete_upload()
        each.delete()
    return options


# /projects/<slug>/imports/<id>/


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
def data_import(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Where an import is. A POST changes how the upload is read and, with `start`, imports it."""
    project = allowed_project(request.user, slug, CHANGE_PROJECT)
    DataImport.tidy()
    found = get_object_or_404(DataImport.objects.select_related("project", "author"), project=project, pk=pk)
    if not request.htmx and request.method == "GET":
        return redirect(f"{reverse('labeling:setup', args=[slug])}#import")
    if found.state != DataImport.State.PREVIEWED:
        return _render_state(request, found)
    if request.method == "GET":
        return _render_preview(request, found)
    form = ImportOptionsForm(request.POST, columns=request.POST.getlist("columns"))
    if not form.is_valid():
        return render(request, "labeling/setup/_import_problems.html", {"form": form})
    DataImport.objects.filter(pk=found.pk).update(options=form.options, result=None)
    found.options, found.result = form.options, None
    return _start(request, found) if "start" in request.POST else _render_preview(request, found)


@require_POST
@login_required
def cancel(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Cancel an import: nothing of it stays."""
    project = allowed_project(request.user, slug, CHANGE_PROJECT)
    found = get_object_or_404(DataImport, project=project, pk=pk)
    found.cancel()
    found.refresh_from_db()
    return _render_state(request, found)


def _start(request: UserRequest, found: DataImport) -> HttpResponse:
    """Import at once what is small; anything else is for a worker."""
    try:
        seen = preview(found)
        if not seen.can_start:
            return _render_preview(request, found, seen)
        if seen.is_whole:
            background.run_now(found)
        else:
            background.start(found)
    except ImportBusy as busy:
        return render(request, "labeling/setup/_import_problems.html", {"problem": str(busy)})
    return _render_state(request, found)


def _render_state(request: UserRequest, found: DataImport) -> HttpResponse:
    """The progress of an import, or how it ended."""
    found.refresh_from_db()
    if found.state == DataImport.State.PREVIEWED:
        return _render_preview(request, found)
    if found.state != DataImport.State.DONE:
        return render(request, "labeling/setup/_import_progress.html", _context(found))
    context = _context(found) | {
        "upload_form": UploadForm(),
        "steps": readiness_steps(found.project),
        "imported": describe_json(found.result or {}),
    }
    response = render(request, "labeling/setup/_import_response.html", context)
    return trigger_client_event(reswap(retarget(response, "#import"), "outerHTML"), "hone:imported")


def _render_preview(request: UserRequest, found: DataImport, seen: Preview | None = None) -> HttpResponse:
    """What an import would make of the upload, and how it is read."""
    try:
        seen = seen or preview(found)
    except ImportBusy as busy:
        return render(request, "labeling/setup/_import_problems.html", {"problem": str(busy)})
    form = ImportOptionsForm(
        initial={**found.options, **_percent(found.options)}, columns=[name for name, *_ in seen.columns]
    )
    context = _context(found) | {
        "preview": seen,
        "form": form,
        "columns": list(zip(seen.columns, form.column_fields(), strict=True)),
        "problems": (found.result or {}).get("problems") or [],
        "problem_count": (found.result or {}).get("problem_count", 0),
    }
    if seen.result is not None and not found.result:
        context["problems"] = seen.result.as_json()["problems"]
        context["problem_count"] = seen.result.problem_count
    return render(request, "labeling/setup/_import_preview.html", context)


def _context(found: DataImport) -> dict[str, Any]:
    project: Project = found.project
    return {"project": project, "data_import": found}


def _percent(options: dict[str, Any]) -> dict[str, Any]:
    return {"heldout": round(options["heldout"] * 100)} if "heldout" in options else {}
