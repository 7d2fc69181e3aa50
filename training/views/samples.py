"""The page that generates samples for a project."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from labeling.access import UserRequest, allowed_project, login_required
from training import runs
from training.forms.language_model import SampleForm
from training.models import Endpoint, ModelVersion, Run
from training.views.runs import progress_context

VISIBLE_FIELDS = ("policy", "from", "tasks", "temperature", "max_new_tokens")
"""Fields that are always visible; the others are folded. Endpoints are offered where there are any."""


@require_http_methods(["GET", "POST"])
@login_required
def generate_samples(request: UserRequest, slug: str) -> HttpResponse:
    """Generate samples for a project's prompts with a policy or an endpoint, and follow the run."""
    project = allowed_project(request.user, slug, "training.add_run")
    visible_policies = ModelVersion.objects.visible_to(request.user).policies()
    newest = ModelVersion.objects.production(project) or visible_policies.first()
    has_endpoints = Endpoint.objects.visible_to(request.user).exists()
    data = None
    if request.method == "POST":
        # The project is the one in the URL, whatever is posted.
        data = SampleForm.normalise_page_data(request.POST).dict() | {"project": slug}
    form = SampleForm(data, user=request.user, initial={"policy": newest.name if newest else None})
    if data is not None and form.is_valid():
        run = runs.start(form, owner=request.user)
        messages.success(request, f"{run} is queued.")
        return redirect("training:samples", slug)
    latest = Run.objects.filter(kind=Run.Kind.SAMPLE, project=project).order_by("-pk").first()
    visible_fields = [name for name in VISIBLE_FIELDS if name != "from" or has_endpoints]
    context = {
        "project": project,
        "form": form,
        "visible_fields": [form[name] for name in visible_fields],
        "folded_fields": [field for field in form if field.name not in {*VISIBLE_FIELDS, "project"}],
        "prompts": project.prompts.filter(split="train").count(),
        "has_model": newest is not None or has_endpoints,
        **(progress_context(latest, request) if latest else {}),
    }
    return render(request, "training/generate_samples.html", context, status=422 if form.errors else 200)
