"""Starting a run: what the form in the admin is filled with, and the line beneath it that follows it."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, right_required
from labeling.models import Project
from training.duration_estimates import estimate
from training.forms import FORMS
from training.forms.base import RunForm
from training.forms.defaults import newest_project, settings_of, usual, versions_for
from training.forms.error_messages import problems
from training.forms.labels import SUMMARIES
from training.forms.presets import Preset, presets_of
from training.forms.start_page import PageField, StartPage
from training.models import Run

SHOWN_PROBLEMS = 4


def form_class_of(kind: str) -> type[RunForm]:
    """The form of a kind of run, or 404."""
    if kind not in FORMS:
        raise Http404
    return FORMS[kind]


def filled(request: HttpRequest) -> tuple[RunForm, Run | None]:
    """The form that is shown first, and the run that it is like, if any.

    It is a clone of that run (`?clone=ID`), or has the usual settings for a project. `?project=`, `?preset=`
    and any field by its name come before both.
    """
    asked, user = request.GET, request.user
    source = None
    if asked.get("clone", "").isdigit():
        source = get_object_or_404(Run.objects.visible_to(user).select_related("project"), pk=asked["clone"])
    form_class = form_class_of(source.kind if source else asked.get("kind", Run.Kind.FINETUNE))
    form = form_class(user=user)
    values: dict[str, Any] = {}
    if source is not None:
        values, gone = settings_of(source, form)
        for name in gone:
            messages.warning(request, f"{source} used {name}, which is not there any more: choose another.")
    elif "project" in form.fields:
        project = Project.objects.allowed(user, "training.add_run").filter(slug=asked.get("project", ""))
        first = project.first() or newest_project(user)
        values = {"project": first.slug if first else ""} | versions_for(form, first)
    else:
        values = versions_for(form, None)
    values |= preset_of(form_class, asked.get("preset", ""))
    values |= {name: asked[name] for name in form.fields if name in asked and name != "project"}
    return form_class(initial=values, user=user), source


def preset_of(form_class: type[RunForm], name: str) -> dict[str, Any]:
    """The values of a preset; none for an unknown one."""
    found = [each.values for each in presets(form_class) if each.name == name]
    return found[0] if found else {}


def presets(form_class: type[RunForm]) -> list[Preset]:
    return presets_of(form_class.kind, usual(form_class))


def context_of(form: RunForm) -> dict[str, Any]:
    """What the template of the form needs; the form is put into words."""
    return {
        "page": StartPage(form),
        "presets": presets(type(form)),
        "kinds": [(each.kind, each.kind.label) for each in FORMS.values()],
        "form_kind": form.kind,
        "summary": SUMMARIES[form.kind],
    }


@require_GET
@right_required("training.add_run", somewhere=True)
def estimate_of(request: UserRequest) -> HttpResponse:
    """How long what stands in the form would take, or what it still lacks.

    When the project has changed (`project_before` says which one the versions were chosen for), the fields of
    versions come along, chosen for the new one.
    """
    form_class = form_class_of(request.GET.get("kind", ""))
    data, moved = following_project(form_class, request)
    form = form_class(form_class.from_page(data), user=request.user)
    lacking = problems(form)
    context: dict[str, Any] = {
        "problems": lacking[:SHOWN_PROBLEMS],
        "more": max(0, len(lacking) - SHOWN_PROBLEMS),
        "estimate": None if lacking else estimate(form),
        "limit": None if lacking else form.cleaned_data.get("minutes"),
        "waiting": Run.objects.active().filter(detached=True).count(),
        "project": data.get("project", ""),
        "moved": moved,
    }
    return render(request, "admin/training/run/_estimate.html", context)


def following_project(form_class: type[RunForm], request: UserRequest) -> tuple[QueryDict, list[PageField]]:
    """What stands in the form, its versions exchanged for those of a project newly chosen, and their fields.

    A version that somebody chose in place of the project's own stays.
    """
    data = request.GET.copy()
    before = data.get("project_before", "")
    if "project" not in form_class.base_fields or data.get("project", "") == before:
        return data, []
    form = form_class(data, user=request.user)
    projects = Project.objects.allowed(request.user, "training.add_run")
    seen = {project.slug: project for project in projects.filter(slug__in=[before, data.get("project", "")])}
    ours, theirs = (versions_for(form, seen.get(slug)) for slug in (before, data.get("project", "")))
    for name, version in theirs.items():
        if data.get(name, "") in {ours.get(name), ""}:
            data[name] = version
    shown = form_class(initial={name: data[name] for name in data}, user=request.user)
    page = StartPage(shown)
    names = [name for name in ("policy", "reward", "against", "snapshot") if name in page.fields]
    return data, [page.fields[name] for name in names]
