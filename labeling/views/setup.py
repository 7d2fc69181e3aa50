"""Project set-up for admins: settings, preview of the task page, import."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST
from django_htmx.http import reswap, retarget, trigger_client_event

from labeling.access import UserRequest, allowed_project, login_required, permission_required
from labeling.feedback import KINDS
from labeling.forms import ImportForm, SetupForm
from labeling.markdown import render as render_markdown
from labeling.models import Assignment, Project
from labeling.people.accounts import project_annotators
from labeling.people.memberships import can_open_project
from labeling.setup.imports import EncodingUnknown, ImportPlan, ImportProblem, decode, plan_import, read_rows
from labeling.setup.preview_samples import preview_content
from labeling.setup.readiness import readiness_steps
from labeling.views.members import members_context
from labeling.views.task_page import task_context

MAX_SHOWN_PROMPTS = 8
MAX_SHOWN_PROBLEMS = 20

can_add_projects = permission_required("labeling.add_project")
CHANGE_PROJECT = "labeling.change_project"


# /projects/


@require_http_methods(["GET", "POST"])
@can_add_projects
@never_cache
def new_project(request: UserRequest) -> HttpResponse:
    """Create a project from a name and a kind of feedback. Prompts, samples and people come next."""
    form = SetupForm(request.POST or None, by=request.user)
    if request.method == "POST" and form.is_valid():
        project = form.save_valid(author=request.user)
        return redirect(f"{reverse('labeling:setup', args=[project.slug])}#import")
    return _render_setup(request, form, status=422 if form.is_bound else 200)


# /projects/<slug>/


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
def setup(request: UserRequest, slug: str) -> HttpResponse:
    """A project's settings. Valid fields are saved; the others stay on the page with their errors."""
    project = allowed_project(request.user, slug, CHANGE_PROJECT)
    if request.method == "GET":
        return _render_setup(request, SetupForm(instance=project, by=request.user))
    form = SetupForm(request.POST, instance=project, by=request.user)
    valid = form.is_valid()
    form.save_valid(author=request.user)
    if valid:
        messages.success(request, "Saved.")
        return redirect("labeling:setup", slug)
    return _render_setup(request, form, status=422)


@require_POST
@login_required
def preview(request: UserRequest, slug: str = "") -> HttpResponse:
    """The task page with the settings as they are in the form. Nothing is stored or claimed."""
    stored = allowed_project(request.user, slug, CHANGE_PROJECT) if slug else None
    if stored is None and not request.user.has_perm("labeling.add_project"):
        raise PermissionDenied
    form = SetupForm(request.POST, instance=stored, by=request.user)
    form.is_valid()
    project = form.valid_project()
    prompt, samples, is_example = preview_content(project, data=request.POST)
    context = task_context(
        project=project,
        prompt=prompt,
        samples=samples,
        user=request.user,
        task_key="preview",
        submit_url="",
    )
    guidelines = request.POST.get("guidelines_text", "")
    context |= {
        "assignment": Assignment(pk=0, project=project, annotator=request.user),
        "is_leased": True,
        "is_example": is_example,
        "guidelines_html": render_markdown(guidelines) if guidelines.strip() else "",
    }
    return render(request, "labeling/setup/_preview.html", context)


@require_POST
@login_required
@never_cache
def import_tasks(request: UserRequest, slug: str) -> HttpResponse:
    """Show what an import would store, and store it once that plan is confirmed: all of it or nothing."""
    with transaction.atomic():
        # Locked, so that an import confirmed twice at the same time is stored once.
        project = allowed_project(request.user, slug, CHANGE_PROJECT)
        project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        form = ImportForm(request.POST, request.FILES)
        confirmed = request.POST.get("confirm", "")
        if not form.is_valid():
            return render(request, "labeling/setup/_import_plan.html", {"form": form})
        try:
            plan, encoding_warning = _make_plan(project, form.cleaned_data)
        except ImportProblem as problem:
            return render(request, "labeling/setup/_import_plan.html", {"form": form, "problem": problem})
        if encoding_warning:
            return _show_plan(request, form, plan, problem=encoding_warning)
        if plan is None or not confirmed or not plan.can_be_stored or confirmed != plan.digest:
            return _show_plan(request, form, plan, changed=bool(confirmed))
        plan.store(author=request.user)
    context = {
        "project": project,
        "import_form": ImportForm(),
        "stored_plan": plan,
        "steps": readiness_steps(project),
    }
    response = render(request, "labeling/setup/_import_response.html", context)
    return trigger_client_event(reswap(retarget(response, "#import"), "outerHTML"), "hone:imported")


def _make_plan(project: Project, data: dict[str, Any]) -> tuple[ImportPlan | None, str]:
    """The plan for the file or pasted text (None if empty), and a warning about the encoding ("" if sure).

    Raises ImportProblem if the file cannot be read.
    """
    file, encoding_warning = data.get("file"), ""
    if file:
        content = file.read()
        try:
            text = decode(content, data["encoding"])
        except EncodingUnknown as problem:
            text, encoding_warning = decode(content, problem.guess), str(problem)
        if not text.strip():
            raise ImportProblem("This file is empty.")
    else:
        text = data["text"]
    if not text.strip():
        return None, encoding_warning
    plan = plan_import(
        project=project,
        rows=read_rows(text, name=file.name if file else "", paragraphs=data["paragraphs"]),
        generator=data["generator"],
        heldout=data["heldout"] / 100,
        leave_out_problems=data["leave_out"],
    )
    return plan, encoding_warning


def _show_plan(
    request: UserRequest,
    form: ImportForm,
    plan: ImportPlan | None,
    *,
    problem: str = "",
    changed: bool = False,
) -> HttpResponse:
    context = {
        "form": form,
        "plan": plan,
        "problem": problem,
        "changed": changed,
        "first_prompts": plan.prompts[:MAX_SHOWN_PROMPTS] if plan else [],
        "problems": plan.problems[:MAX_SHOWN_PROBLEMS] if plan else [],
        "more_problems": max(0, len(plan.problems) - MAX_SHOWN_PROBLEMS) if plan else 0,
    }
    return render(request, "labeling/setup/_import_plan.html", context)


def _render_setup(request: UserRequest, form: SetupForm, *, status: int = 200) -> HttpResponse:
    project = Project.objects.get(pk=form.instance.pk) if form.instance.pk else None
    context: dict[str, Any] = {
        "form": form,
        "kinds": KINDS.values(),
        "project": project,
        "import_form": ImportForm(),
        "preview_url": reverse("labeling:preview", args=[project.slug] if project else []),
        **(_project_context(request, project) if project else {}),
    }
    return render(request, "labeling/setup/setup.html", context, status=status)


def _project_context(request: UserRequest, project: Project) -> dict[str, Any]:
    return {
        "steps": readiness_steps(project),
        "annotators": project_annotators(project).count(),
        "can_open": can_open_project(request.user),
        **(
            members_context(request.user, project)
            if request.user.has_perm("labeling.invite", project)
            else {}
        ),
        "can_work": Project.objects.for_annotator(request.user).filter(pk=project.pk).exists(),
    }
