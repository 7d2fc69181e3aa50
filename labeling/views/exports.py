"""The export page, and the files that it offers."""

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, allowed_project, login_required
from labeling.exports.download import export_response
from labeling.exports.form import ExportForm

EXPORT = "labeling.export"

# /projects/<slug>/export/


@require_GET
@login_required
@never_cache
def export(request: UserRequest, slug: str) -> HttpResponse:
    """The options of an export."""
    project = allowed_project(request.user, slug, EXPORT)
    form = ExportForm(project=project)
    return render(request, "labeling/export.html", {"project": project, "form": form})


@require_GET
@login_required
@never_cache
def export_file(request: UserRequest, slug: str) -> HttpResponseBase:
    """The file, streamed; the page again if the options do not go together."""
    project = allowed_project(request.user, slug, EXPORT)
    form = ExportForm(request.GET, project=project)
    if not form.is_valid():
        return render(request, "labeling/export.html", {"project": project, "form": form}, status=400)
    return export_response(project, form.cleaned_data)
