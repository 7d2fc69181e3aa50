"""Project set-up for admins: settings, and a preview of the task page. Imports are in `imports`."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from labeling.access import UserRequest, allowed_project, login_required, permission_required
from labeling.feedback import KINDS
from labeling.forms import SetupForm, UploadForm
from labeling.markdown import render as render_markdown
from labeling.models import Assignment, DataImport, Project
from labeling.people.accounts import project_annotators
from labeling.people.memberships import can_open_project
from labeling.setup.preview_samples import preview_content
from labeling.setup.readiness import readiness_steps
from labeling.views.members import members_context
from labeling.views.task_page import task_context

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


def _render_setup(request: UserRequest, form: SetupForm, *, status: int = 200) -> HttpResponse:
    project = Project.objects.get(pk=form.instance.pk) if form.instance.pk else None
    context: dict[str, Any] = {
        "form": form,
        "kinds": KINDS.values(),
        "project": project,
        "upload_form": UploadForm(),
        "preview_url": reverse("labeling:preview", args=[project.slug] if project else []),
        **(_project_context(request, project) if project else {}),
    }
    return render(request, "labeling/setup/setup.html", context, status=status)


def _project_context(request: UserRequest, project: Project) -> dict[str, Any]:
    return {
        "steps": readiness_steps(project),
        "running_import": DataImport.objects.filter(
            project=project, state__in=DataImport.ACTIVE_STATES
        ).first(),
        "annotators": project_annotators(project).count(),
        "can_open": can_open_project(request.user),
        **(
            members_context(request.user, project)
            if request.user.has_perm("labeling.invite", project)
            else {}
        ),
        "can_work": Project.objects.for_annotator(request.user).filter(pk=project.pk).exists(),
    }
