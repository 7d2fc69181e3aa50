"""The page on which a model is let write for a project."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from labeling.access import UserRequest, allowed_project, signed_in
from training import runs
from training.forms.language_model import SampleForm
from training.models import ModelVersion, Run
from training.views.runs import run_context

SHOWN_AT_ONCE = ("policy", "tasks", "temperature", "max_new_tokens")
"""What the page of samples asks; the rest is folded."""


@require_http_methods(["GET", "POST"])
@signed_in
def samples(request: UserRequest, slug: str) -> HttpResponse:
    """Let a model version write for a project's prompts, and see how far it is."""
    project = allowed_project(request.user, slug, "training.add_run")
    seen = ModelVersion.objects.visible_to(request.user).policies()
    newest = ModelVersion.objects.production(project) or seen.first()
    # The project is that of the address, whatever is posted.
    data = request.POST.dict() | {"project": slug} if request.method == "POST" else None
    form = SampleForm(data, user=request.user, initial={"policy": newest.name if newest else None})
    if data is not None and form.is_valid():
        run = runs.start(form, owner=request.user)
        messages.success(request, f"{run} is queued.")
        return redirect("training:samples", slug)
    latest = Run.objects.filter(kind=Run.Kind.SAMPLE, project=project).order_by("-pk").first()
    context = {
        "project": project,
        "form": form,
        "shown": [form[name] for name in SHOWN_AT_ONCE],
        "folded": [field for field in form if field.name not in {*SHOWN_AT_ONCE, "project"}],
        "prompts": project.prompts.filter(split="train").count(),
        "newest": newest,
        **(run_context(latest, request) if latest else {}),
    }
    return render(request, "training/generate_samples.html", context, status=422 if form.errors else 200)
