"""How one likes to work: a goal for the day, and the keys of the page."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from labeling.access import UserRequest, annotator_required
from labeling.models import WorkSettings
from labeling.workspace.keyboard_shortcuts import ACTIONS
from labeling.workspace.work_settings import WorkSettingsForm

# /me/settings/


@require_http_methods(["GET", "POST"])
@annotator_required
@never_cache
def settings(request: UserRequest) -> HttpResponse:
    """Show and store the person's own settings; `reset` takes back the usual keys and leaves the goal."""
    if request.method == "POST" and "reset" in request.POST:
        WorkSettings.objects.filter(pk=request.user.pk).update(keys={})
        messages.success(request, "The keyboard shortcuts are reset to their defaults.")
        return redirect("labeling:settings")
    form = WorkSettingsForm(request.user, request.POST or None)
    if form.is_valid():
        form.save()
        messages.success(request, "Saved. Reload open task pages to use the new settings.")
        return redirect("labeling:settings")
    context = {"form": form, "usual": {action: usual.key.upper() for action, usual in ACTIONS.items()}}
    return render(request, "labeling/settings.html", context, status=422 if form.errors else 200)
