"""Runs and model versions in the Django admin. Runs are started here; nothing they wrote can be edited."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from labeling.models import Project, Sample
from training import runs
from training.config_form import NamedChoiceField
from training.forms import FORMS
from training.forms.base import RunForm
from training.models import ModelVersion, Run
from training.reports.charts import figures, number

MAIN_FIELDS = (
    "source", "policy", "reward", "project", "preferences", "demonstrations", "best_of", "against", "judge",
    "gold", "by", "share", "tasks", "name",
)  # fmt: skip
"""What a form shows at once, in this order; the rest is folded."""

SHOWN_REFUSALS = 5

KEY_FIGURES = ("perplexity", "gold_accuracy", "accuracy", "reward_after", "kl")


@admin.register(Run)
class RunAdmin(admin.ModelAdmin):
    list_display = ["__str__", "shown_status", "project", "policy", "version", "owner", "created_at"]
    list_filter = ["status", "kind", "project"]
    search_fields = ["parameters__name", "error"]
    list_select_related = ["project", "policy", "version", "owner"]
    actions = ["cancel", "resume"]

    @admin.display(description="status", ordering="status")
    def shown_status(self, run: Run) -> SafeString:
        share = f" {run.percent} %" if run.status == Run.Status.RUNNING else ""
        return format_html('<a href="{}">{}{}</a>', run.get_absolute_url(), run.get_status_display(), share)

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        # The list's action needs the permission; a row's own page must not offer a form.
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:  # noqa: ARG002
        return False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        if run is None:
            return super().change_view(request, object_id, form_url, extra_context)
        return HttpResponseRedirect(run.get_absolute_url())

    @admin.action(description="Cancel the selected runs", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        cancelled = sum(runs.cancel(run) for run in queryset)
        self.message_user(
            request, f"{cancelled} of {len(queryset)} runs were still going and are being cancelled."
        )

    @admin.action(description="Resume the selected runs", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        resumed, refusals = 0, []
        for run in queryset:
            try:
                runs.resume(run)
                resumed += 1
            except runs.NotResumable as error:
                refusals.append(str(error))
        if resumed:
            self.message_user(request, f"{resumed} of {len(queryset)} runs are queued to go on.")
        for refusal in refusals[:SHOWN_REFUSALS]:
            self.message_user(request, refusal, messages.WARNING)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",  # noqa: ARG002
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> HttpResponse:
        """Start a run of the kind in `?kind=`."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        kind = request.GET.get("kind", Run.Kind.FINETUNE)
        form_class = FORMS.get(kind, FORMS[Run.Kind.FINETUNE])
        form = form_class(request.POST if request.method == "POST" else None, initial=latest(form_class))
        if request.method == "POST" and form.is_valid():
            run = runs.start(form, owner=request.user)
            messages.success(request, f"{run} is queued.")
            return HttpResponseRedirect(run.get_absolute_url())
        for field in form.fields.values():
            if isinstance(field, forms.CharField):
                field.widget.attrs.setdefault("class", "vTextField")
        context = {
            **self.admin_site.each_context(request),
            "title": f"Start a run: {form_class.kind.label.lower()}",
            "opts": self.opts,
            "form": form,
            "main_fields": [form[name] for name in MAIN_FIELDS if name in form.fields],
            "more_fields": [field for field in form if field.name not in MAIN_FIELDS],
            "kinds": [(each.kind, each.kind.label, each.summary) for each in FORMS.values()],
            "form_kind": form_class.kind,
            "summary": form_class.summary,
        }
        return TemplateResponse(request, "admin/training/run/start.html", context)


def latest(form_class: type[RunForm]) -> dict[str, Any]:
    """The newest project, and of the versions that must be named the newest: most likely what is meant."""
    newest = {
        "project": Project.objects.order_by("-pk").first(),
        "policy": ModelVersion.objects.policies().first(),
        "reward": ModelVersion.objects.rewards().first(),
    }
    return {
        name: getattr(row, field.by)
        for name, row in newest.items()
        if isinstance(field := form_class.base_fields.get(name), NamedChoiceField)
        and row is not None
        and (field.required or name == "project")
    }


@admin.register(ModelVersion)
class ModelVersionAdmin(admin.ModelAdmin):
    list_display = ["name", "kind", "stage", "parent", "made_by", "key_figures", "created_at"]
    list_filter = ["kind", "stage"]
    search_fields = ["name"]
    list_select_related = ["parent", "run"]

    class Media:
        css = {"all": ["training/admin.css"]}

    readonly_fields = [
        "name", "kind", "parent", "made_by", "shown_metrics", "shown_samples", "shown_children", "artifact",
        "artifact_hash", "created_at",
    ]  # fmt: skip
    fields = [
        "name", "kind", "stage", "parent", "shown_children", "made_by", "shown_metrics", "shown_samples",
        "artifact", "artifact_hash", "created_at",
    ]  # fmt: skip

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

    @admin.display(description="figures")
    def key_figures(self, version: ModelVersion) -> str:
        there = [
            (name, version.metrics[name]) for name in KEY_FIGURES if version.metrics.get(name) is not None
        ]
        return ", ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in there) or "–"

    @admin.display(description="metrics")
    def shown_metrics(self, version: ModelVersion) -> str:
        rows = format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", figures(version.metrics))
        return format_html("<table>{}</table>", rows) if rows else "–"

    @admin.display(description="samples")
    def shown_samples(self, version: ModelVersion) -> str:
        """The last five samples it wrote for people, else those its run kept, each after its prompt."""
        samples = Sample.objects.filter(generator__model_version=version).select_related("prompt")
        pairs = [(sample.prompt.text, sample.text) for sample in samples.order_by("-pk")[:5]]
        kept = [(example["prompt"], example["completion"]) for example in version.metrics.get("examples", [])]
        rows = format_html_join("", '<li><span class="hone-prompt">{}</span>{}</li>', pairs or kept)
        return format_html('<ol class="hone-samples">{}</ol>', rows) if rows else "none yet"

    @admin.display(description="children")
    def shown_children(self, version: ModelVersion) -> str:
        links = [(child.get_absolute_url(), child.name) for child in version.children.all()]
        return format_html_join(", ", '<a href="{}">{}</a>', links) or "–"
