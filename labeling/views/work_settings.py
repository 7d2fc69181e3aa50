"""An annotator's own settings: daily goal and keyboard shortcuts."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from labeling.access import UserRequest, annotator_required
from labeling.models import WorkSettings
from labeling.workspace.work_settings import WorkSettingsForm

# /me/settings/


@require_http_methods(["GET", "POST"])
@annotator_required
@never_cache
def settings(request: UserRequest) -> HttpResponse:
    """Show and save the settings; `reset` restores the default keys and keeps the goal."""
    if request.method == "POST" and "reset" in request.POST:
        WorkSettings.objects.filter(pk=request.user.pk).update(keys={})
        messages.success(request, "The keyboard shortcuts are reset to their defaults.")
        return redirect("labeling:settings")
    form = WorkSettingsForm(request.user, request.POST or None)
    if form.is_valid():
        form.save()
        messages.success(request, "Saved. Reload open task pages to use the new settings.")
        return redirect("labeling:settings")
    return render(request, "labeling/settings.html", {"form": form}, status=422 if form.errors else 200)
