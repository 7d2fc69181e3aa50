"""Runs, model versions and endpoints in the Django admin: lists, actions and the form that starts a run."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from labeling.admin.base import (
    MultiProjectAdmin,
    ProjectScopedAdmin,
    VisibleProjectsFilter,
    count_subquery,
)
from labeling.models import Sample
from training import runs
from training.forms.endpoints import EndpointForm
from training.models import Endpoint, ModelVersion, Run
from training.reports.number_format import format_number
from training.views import start_run

MAX_SHOWN_REFUSALS = 5

KEY_METRICS = ("perplexity", "gold_accuracy", "accuracy", "reward_after", "kl")


class RedirectToPageAdmin(ProjectScopedAdmin):
    """An admin whose rows have their own pages on the site: a row's link redirects there."""

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            return super().change_view(request, object_id, form_url, extra_context)
        return HttpResponseRedirect(row.get_absolute_url())


@admin.register(Run)
class RunAdmin(RedirectToPageAdmin):
    list_display = [
        "__str__",
        "shown_status",
        "project",
        "policy",
        "endpoint",
        "version",
        "owner",
        "created_at",
    ]
    list_filter = ["status", "kind", ("project", VisibleProjectsFilter)]
    search_fields = ["parameters__name", "error"]
    list_select_related = ["project", "policy", "endpoint", "version", "owner"]
    actions = ["cancel", "resume"]

    def visible_rows(self, user: User) -> Q:
        return Q(pk__in=Run.objects.visible_to(user).values("pk"))

    @admin.display(description="status", ordering="status")
    def shown_status(self, run: Run) -> SafeString:
        share = f" {run.percent} %" if run.status == Run.Status.RUNNING else ""
        return format_html('<a href="{}">{}{}</a>', run.get_absolute_url(), run.get_status_display(), share)

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        # The list's actions need the permission; there is no form for a single row.
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:  # noqa: ARG002
        return False

    def changeable(self, request: HttpRequest, queryset: QuerySet[Run]) -> list[Run]:
        """The runs of the queryset that the user may change."""
        rows = queryset.select_related("project")
        return [run for run in rows if request.user.has_perm("training.change_run", run.project)]

    @admin.action(description="Cancel the selected runs", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        changed = self.changeable(request, queryset)
        cancelled = sum(runs.cancel(run) for run in changed)
        self.message_user(request, f"{cancelled} of {len(changed)} runs were active and are being cancelled.")

    @admin.action(description="Resume the selected runs", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        resumed, refusals = 0, []
        changed = self.changeable(request, queryset)
        for run in changed:
            try:
                runs.resume(run)
                resumed += 1
            except runs.NotResumable as error:
                refusals.append(str(error))
        if resumed:
            self.message_user(request, f"{resumed} of {len(changed)} runs are queued to resume.")
        for refusal in refusals[:MAX_SHOWN_REFUSALS]:
            self.message_user(request, refusal, messages.WARNING)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Start a run of `?kind=`, or a copy of another (`?clone=`); see `training.views.start_run`."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        cloned: Run | None = None
        if request.method == "POST":
            form_class = start_run.form_class_or_404(request.POST.get("kind") or request.GET.get("kind", ""))
            form = form_class(form_class.normalise_page_data(request.POST), user=request.user)
            if form.is_valid():
                run = runs.start(form, owner=request.user)
                messages.success(request, f"{run} is queued.")
                return HttpResponseRedirect(run.get_absolute_url())
        else:
            form, cloned = start_run.initial_form(request)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Start a run: {form.kind.label.lower()}",
            "opts": self.opts,
            "cloned": cloned,
            **start_run.form_context(form),
        }
        return TemplateResponse(request, "admin/training/run/start.html", context)


@admin.register(ModelVersion)
class ModelVersionAdmin(RedirectToPageAdmin):
    list_display = ["name", "kind", "stage", "parent", "made_by", "key_metrics", "created_at"]
    list_filter = ["kind", "stage"]
    search_fields = ["name"]
    list_select_related = ["parent", "run"]

    def visible_rows(self, user: User) -> Q:
        return Q(pk__in=ModelVersion.objects.visible_to(user).values("pk"))

    def has_change_permission(self, request: HttpRequest, obj: ModelVersion | None = None) -> bool:  # noqa: ARG002
        # Stages change only by decisions, on the version's own page.
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelVersion | None = None) -> bool:  # noqa: ARG002
        return False

    @admin.display(description="run", ordering="run")
    def made_by(self, version: ModelVersion) -> str:
        if version.run is None:
            origin = version.metrics.get("origin")
            return f"imported from {origin}" if origin else "–"
        return format_html('<a href="{}">{}</a>', version.run.get_absolute_url(), version.run)

    @admin.display(description="metrics")
    def key_metrics(self, version: ModelVersion) -> str:
        known = [
            (name, version.metrics[name]) for name in KEY_METRICS if version.metrics.get(name) is not None
        ]
        return ", ".join(f"{name.replace('_', ' ')} {format_number(value)}" for name, value in known) or "–"


@admin.register(Endpoint)
class EndpointAdmin(MultiProjectAdmin):
    """Models that live elsewhere. Addresses are set by admins of the whole site."""

    form = EndpointForm
    list_display = ["name", "model", "url", "api", "samples", "created_at"]
    search_fields = ["name", "model", "url"]

    def visible_rows(self, user: User) -> Q:
        return Q(pk__in=Endpoint.objects.visible_to(user).values("pk"))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        samples = Sample.objects.filter(generator=OuterRef("generator"))
        counted = count_subquery(samples, "generator")
        rows: QuerySet[Any] = super().get_queryset(request).annotate(sample_count=counted)
        return rows

    def get_readonly_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> list[str]:  # noqa: ARG002
        """Who writes stays the same: the samples under its name are those of one model."""
        return ["name", "model", "api", "created_at"] if obj else []

    @admin.display(ordering="sample_count")
    def samples(self, endpoint: Endpoint) -> int:
        """How many samples it has written."""
        count: int = endpoint.sample_count  # type: ignore[attr-defined]  # annotated above
        return count
