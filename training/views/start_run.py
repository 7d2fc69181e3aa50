"""Starting a run: the initial values of the form in the admin, and the estimate below it."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, permission_required
from labeling.models import Project
from training.duration_estimates import estimate
from training.forms import FORMS
from training.forms.base import RunForm
from training.forms.defaults import cloned_values, default_values, newest_project, suggested_versions
from training.forms.error_messages import error_messages
from training.forms.labels import SUMMARIES
from training.forms.presets import FORMER_NAMES, Preset, presets_for
from training.forms.start_page import PageField, StartPage
from training.models import Run

MAX_ERRORS = 4
"""Errors listed beside the Start button; the others are counted."""


def form_class_or_404(kind: str) -> type[RunForm]:
    """The form of a kind of run; 404 for an unknown kind."""
    if kind not in FORMS:
        raise Http404
    return FORMS[kind]


def initial_form(request: HttpRequest) -> tuple[RunForm, Run | None]:
    """The form with its initial values, and the run that they were cloned from, if any.

    `?clone=ID` takes the parameters of a run; otherwise the form has its defaults and the versions that suit
    `?project=`. `?preset=` and fields by name override both.
    """
    query, user = request.GET, request.user
    source = None
    if query.get("clone", "").isdigit():
        source = get_object_or_404(Run.objects.visible_to(user).select_related("project"), pk=query["clone"])
    form_class = form_class_or_404(source.kind if source else query.get("kind", Run.Kind.FINETUNE))
    form = form_class(user=user)
    values: dict[str, Any] = {}
    if source is not None:
        values, deleted = cloned_values(source, form)
        for name in deleted:
            messages.warning(request, f"{source} used {name}, which no longer exists: choose another.")
    elif "project" in form.fields:
        project = Project.objects.allowed(user, "training.add_run").filter(slug=query.get("project", ""))
        first = project.first() or newest_project(user)
        values = {"project": first.slug if first else ""} | suggested_versions(form, first)
    else:
        values = suggested_versions(form, None)
    values |= preset_values(form_class, query.get("preset", ""))
    values |= {name: query[name] for name in form.fields if name in query and name != "project"}
    return form_class(initial=values, user=user), source


def preset_values(form_class: type[RunForm], name: str) -> dict[str, Any]:
    """The values of a preset; none for an unknown one."""
    name = FORMER_NAMES.get(name, name)
    return next((preset.values for preset in presets(form_class) if preset.name == name), {})


def presets(form_class: type[RunForm]) -> list[Preset]:
    return presets_for(form_class.kind, default_values(form_class))


def form_context(form: RunForm) -> dict[str, Any]:
    """The context of the template of the form."""
    return {
        "page": StartPage(form),
        "presets": presets(type(form)),
        "kinds": [(each.kind, each.kind.label) for each in FORMS.values()],
        "form_kind": form.kind,
        "summary": SUMMARIES[form.kind],
    }


@require_GET
@permission_required("training.add_run", any_project=True)
def run_estimate(request: UserRequest) -> HttpResponse:
    """How long the run would take, or the errors of the form.

    When the project has changed (`project_before` is the one that the versions were suggested for), the
    response also replaces the version fields with suggestions for the new project.
    """
    form_class = form_class_or_404(request.GET.get("kind", ""))
    data, updated_fields = follow_project(form_class, request)
    form = form_class(form_class.normalise_page_data(data), user=request.user)
    errors = error_messages(form)
    context: dict[str, Any] = {
        "errors": errors[:MAX_ERRORS],
        "more": max(0, len(errors) - MAX_ERRORS),
        "estimate": None if errors else estimate(form),
        "limit": None if errors else form.cleaned_data.get("minutes"),
        "active_runs": Run.objects.active().filter(detached=True).count(),
        "project": data.get("project", ""),
        "updated_fields": updated_fields,
    }
    return render(request, "admin/training/run/_estimate.html", context)


def follow_project(form_class: type[RunForm], request: UserRequest) -> tuple[QueryDict, list[PageField]]:
    """The form data with the versions suggested for a newly selected project, and the fields to replace.

    A version that somebody selected instead of the suggestion stays.
    """
    data = request.GET.copy()
    before = data.get("project_before", "")
    if "project" not in form_class.base_fields or data.get("project", "") == before:
        return data, []
    form = form_class(data, user=request.user)
    projects = Project.objects.allowed(request.user, "training.add_run")
    seen = {project.slug: project for project in projects.filter(slug__in=[before, data.get("project", "")])}
    ours, theirs = (suggested_versions(form, seen.get(slug)) for slug in (before, data.get("project", "")))
    for name, version in theirs.items():
        if data.get(name, "") in {ours.get(name), ""}:
            data[name] = version
    updated = form_class(initial={name: data[name] for name in data}, user=request.user)
    page = StartPage(updated)
    names = [name for name in ("policy", "reward", "against", "snapshot") if name in page.fields]
    return data, [page.fields[name] for name in names]
