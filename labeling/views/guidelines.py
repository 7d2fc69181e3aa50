"""A project's guidelines: the current version, earlier ones, and the changes between two."""

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from labeling.access import UserRequest, annotator_required
from labeling.markdown import render as render_markdown
from labeling.models import Guidelines, Project
from labeling.text_diff import diff_texts

# /projects/<slug>/guidelines/


@require_GET
@annotator_required
@never_cache
def guidelines(request: UserRequest, slug: str) -> HttpResponse:
    """One version (`?version=`, by default the current one), or its changes since another (`?since=`)."""
    user = request.user
    project = get_object_or_404(Project.objects.allowed(user, "labeling.label"), slug=slug)
    manages = user.has_perm("labeling.review", project) or user.has_perm("labeling.change_project", project)
    if not project.is_active and not manages:
        raise Http404
    versions = list(project.guidelines_versions.order_by("-version").select_related("author"))
    selected = _version(versions, request.GET.get("version")) or (versions[0] if versions else None)
    since = _version(versions, request.GET.get("since"))
    context = {
        "project": project,
        "versions": versions,
        "selected": selected,
        "since": since,
        "html": render_markdown(selected.text) if selected else "",
        "differences": diff_texts(since.text, selected.text) if since and selected else [],
    }
    return render(request, "labeling/guidelines.html", context)


def _version(versions: list[Guidelines], number: str | None) -> Guidelines | None:
    """The version with this number; None without a number, 404 for an unknown one."""
    if number is None:
        return None
    found = [version for version in versions if str(version.version) == number]
    if not found:
        raise Http404
    return found[0]
