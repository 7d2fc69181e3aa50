"""Pages of versions: the list, one version and what is decided about it, and where all of them come from."""

from collections.abc import Callable, Container
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from labeling.access import UserRequest, allowed_project, login_required, permission_required
from labeling.models import PreferenceSnapshot, Project, Sample
from training import artifacts, provenance
from training.models import Decision, ModelVersion, Run
from training.models.versions import ModelVersionQuerySet
from training.registry import decisions, gates
from training.registry.annotator_agreement import annotator_agreement
from training.registry.lineage import Node, lineage
from training.registry.lineage_layout import layout
from training.registry.win_rates import headline_metric, win_rates
from training.reports.charts import metric_rows
from training.reports.parameters import parameters
from training.reports.reward_report import reward_report
from training.reports.tuning_report import tuning_report

PAGE_SIZE = 30
MAX_SAMPLES = 6

PROMOTE = "training.promote_modelversion"

Stage = ModelVersion.Stage


class VersionFilter(forms.Form):
    """The filter of the list of versions."""

    project = forms.ModelChoiceField(
        Project.objects.none(), to_field_name="slug", required=False, empty_label="All projects"
    )
    kind = forms.ChoiceField(
        required=False,
        choices=[("", "Policies and reward models"), ("policy", "Policies"), ("reward", "Reward models")],
    )
    stage = forms.ChoiceField(
        required=False,
        choices=[
            ("", "All except archived"), ("production", "In production"), ("candidate", "Candidates"),
            ("archived", "Archived"), ("all", "All"),
        ],
    )  # fmt: skip

    def __init__(self, *args: Any, request: UserRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = Project.objects.allowed(request.user, "training.view_modelversion")
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]

    def apply(self, versions: ModelVersionQuerySet) -> ModelVersionQuerySet:
        """The versions that match; unknown values are ignored."""
        self.is_valid()
        selected = self.cleaned_data
        if selected.get("project"):
            versions = versions.filter(project=selected["project"])
        if selected.get("kind"):
            versions = versions.filter(kind=selected["kind"])
        if not selected.get("stage"):
            return versions.exclude(stage=Stage.ARCHIVED)
        return versions if selected["stage"] == "all" else versions.filter(stage=selected["stage"])


class DecisionForm(forms.Form):
    """The reason of a decision."""

    reason = forms.CharField(
        required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}), label="Reason"
    )


class PromotionForm(DecisionForm):
    """The project in which a version is promoted, and whether its gate is overridden."""

    project = forms.ModelChoiceField(
        Project.objects.none(),
        to_field_name="slug",
        empty_label=None,
        error_messages={"required": "Select a project.", "invalid_choice": "Select one of the projects."},
    )
    without_gate = forms.BooleanField(required=False, label="Override the gate, which is not met")

    def __init__(self, *args: Any, version: ModelVersion, request: UserRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = Project.objects.allowed(request.user, PROMOTE)
        if version.project is not None:
            projects = projects.filter(pk=version.project.pk)
            self.fields["project"].widget = forms.HiddenInput()
            self.fields["project"].initial = version.project.slug
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]
        if all(card.is_met for card in gates.gate_cards_context(version, request.user)["gate_cards"]):
            del self.fields["without_gate"]


# /models/


@require_GET
@permission_required("training.view_modelversion", any_project=True)
def version_list(request: UserRequest) -> HttpResponse:
    """The versions, newest first."""
    form = VersionFilter(request.GET, request=request)
    visible = ModelVersion.objects.visible_to(request.user)
    found = form.apply(visible).with_history().select_related("project", "parent", "run")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    versions = list(page)
    rates = win_rates(versions)
    deleted = provenance.count_deleted_by_version(versions)
    query = request.GET.copy()
    query.pop("page", None)
    context = {
        "form": form,
        "page": page,
        "rows": [
            {
                "version": version,
                "score": headline_metric(version),
                "rates": rates[version.pk][:1],
                "deleted": deleted.get(version.pk, 0),
            }
            for version in versions
        ],
        "query": query.urlencode(),
        "any": bool(versions) or visible.exists(),
    }
    return render(request, "training/versions/version_list.html", context)


# /models/<name>/


@require_GET
@login_required
def version(request: UserRequest, name: str) -> HttpResponse:
    """One version: its provenance, its metrics, and the decisions about it."""
    return version_page(request, version_or_404(request, name))


@require_GET
@login_required
def agreement(request: UserRequest, name: str) -> HttpResponse:
    """The agreement of the annotators whose answers a version learned from: a part of its page that is loaded
    separately, because it takes longer."""
    found = annotator_agreement(version_or_404(request, name))
    return render(request, "training/versions/_agreement.html", {"agreement": found})


@require_POST
@login_required
def promote(request: UserRequest, name: str) -> HttpResponse:
    """Put a version into production."""
    found = version_to_decide(request, name)
    form = PromotionForm(request.POST, version=found, request=request)

    def decide() -> Decision:
        return decisions.promote(
            found,
            project=form.cleaned_data["project"],
            by=request.user,
            reason=form.cleaned_data["reason"],
            without_gate=form.cleaned_data.get("without_gate", False),
        )

    return decision_response(request, found, "promote", form, decide)


@require_POST
@login_required
def archive(request: UserRequest, name: str) -> HttpResponse:
    """Archive a version."""
    found = version_to_decide(request, name)
    form = DecisionForm(request.POST)
    return decision_response(
        request,
        found,
        "archive",
        form,
        lambda: decisions.archive(found, by=request.user, reason=form.cleaned_data["reason"]),
    )


@require_POST
@login_required
def restore(request: UserRequest, name: str) -> HttpResponse:
    """Restore a version from the archive."""
    found = version_to_decide(request, name)
    form = DecisionForm(request.POST)
    return decision_response(
        request,
        found,
        "restore",
        form,
        lambda: decisions.restore(found, by=request.user, reason=form.cleaned_data["reason"]),
    )


# /projects/<slug>/roll-back/


@require_POST
@login_required
def roll_back(request: UserRequest, slug: str) -> HttpResponse:
    """Put the previous version back into production: the policy, or with `kind=reward` the reward model."""
    project = allowed_project(request.user, slug, PROMOTE)
    kind = ModelVersion.Kind.REWARD if request.POST.get("kind") == "reward" else ModelVersion.Kind.POLICY
    current = ModelVersion.objects.production(project, kind)
    form = DecisionForm(request.POST)

    def decide() -> Decision:
        reason = form.cleaned_data["reason"]
        return decisions.roll_back(project, by=request.user, reason=reason, kind=kind)

    if current is None:
        messages.error(
            request, f"No version is in production in “{project}”, so there is nothing to roll back."
        )
        return redirect("training:versions")
    return decision_response(request, current, "roll_back", form, decide)


# /lineage/


@require_GET
@permission_required("training.view_modelversion", any_project=True)
def lineage_page(request: UserRequest) -> HttpResponse:
    """The lineage graph, from corpora to production; with `?project=` that of one project."""
    projects = Project.objects.allowed(request.user, "training.view_modelversion")
    slug = request.GET.get("project", "")
    project = get_object_or_404(projects, slug=slug) if slug else None
    graph = lineage(request.user, project)
    allowed = Project.objects.allowed(request.user, "labeling.review")
    snapshots = set(PreferenceSnapshot.objects.filter(project__in=allowed).values_list("pk", flat=True))
    urls = {key: node_url(node, snapshots) for key, node in graph.nodes.items()}
    before: dict[str, list[str]] = {}
    for edge in graph.edges:
        before.setdefault(edge.result, []).append(graph.nodes[edge.origin].name)
    graph_layout = layout(graph)
    context = {
        "project": project,
        "projects": projects,
        "graph": graph,
        "layout": graph_layout,
        "boxes": [(box, urls[box.node.key]) for box in graph_layout.boxes],
        "lines": [
            (node, urls[key], ", ".join(before.get(key, [])))
            for key, node in reversed(graph.nodes.items())
            if node.version
        ],
    }
    return render(request, "training/versions/lineage.html", context)


def node_url(node: Node, snapshots: Container[int]) -> str:
    """The link of a node: to a version, to a snapshot whose answers one may see, or empty."""
    if node.version:
        return reverse("training:version", args=[node.name])
    return reverse("training:snapshot", args=[node.snapshot]) if node.snapshot in snapshots else ""


def version_or_404(request: UserRequest, name: str) -> ModelVersion:
    """A visible version, with the related rows that its page shows."""
    related = (
        "project",
        "parent",
        "generator",
        "run__project",
        "run__owner",
        "run__reward__run",
        "run__snapshot",
    )
    versions = ModelVersion.objects.visible_to(request.user).with_history().select_related(*related)
    versions = versions.defer("run__snapshot__content")
    return get_object_or_404(versions, name=name)


def version_to_decide(request: UserRequest, name: str) -> ModelVersion:
    """A version that the person may decide about; raises PermissionDenied for others."""
    found = version_or_404(request, name)
    if not may_decide(request, found):
        raise PermissionDenied
    return found


def may_decide(request: UserRequest, version: ModelVersion) -> bool:
    """Whether the person may decide about a version: in its project, or on the whole site if it has none."""
    return request.user.has_perm(PROMOTE, version.project)


def decision_response(
    request: UserRequest,
    version: ModelVersion,
    action: str,
    form: DecisionForm,
    decide: Callable[[], Decision],
) -> HttpResponse:
    """Decide, or show the page again with the form and its errors."""
    if form.is_valid():
        try:
            decision = decide()
        except decisions.NotAllowed as refusal:
            form.add_error(None, str(refusal))
        else:
            messages.success(request, f"{decision}.")
            return redirect(decision.version)
    return version_page(request, version_or_404(request, version.name), submitted_action=action, form=form)


def version_page(
    request: UserRequest,
    version: ModelVersion,
    *,
    submitted_action: str = "",
    form: DecisionForm | None = None,
) -> HttpResponse:
    """The page of a version; after a refused decision with its form."""
    run = version.run
    visible = ModelVersion.objects.visible_to(request.user)
    related = [pk for pk in (version.parent_id, run.reward_id if run else None) if pk]
    examples = version.metrics.get("examples", [])
    context = {
        "version": version,
        "score": headline_metric(version),
        "visible_ids": set(visible.filter(pk__in=related).values_list("pk", flat=True)),
        "may_see_run": run is not None and request.user.has_perm("training.view_run", run.project),
        "may_start": request.user.has_perm("training.add_run", version.project),
        "parameters": parameters(run) if run else None,
        "metrics": metric_rows(version.metrics),
        "tuning": tuning_report(run) if run else None,
        "reward_report": reward_report(run) if run else None,
        "rates": win_rates([version])[version.pk],
        "examples": examples,
        "side_by_side": bool(examples) and examples[0].get("against") is not None,
        "samples": latest_samples(request, version),
        "has_chat_template": artifacts.has_chat_template(version),
        "children": visible.filter(parent=version).order_by("-pk"),
        "tuned_against_it": visible.filter(run__reward=version, run__kind=Run.Kind.FINETUNE).order_by("-pk"),
        "decisions": version.decisions.select_related("by", "project", "replaced", "gate"),
        "replaced_by": version.replaced_by.select_related("by", "version", "project"),
        "training_data": provenance.find_sources(version),
        **gates.gate_cards_context(version, request.user),
        **(
            decision_forms(request, version, submitted_action=submitted_action, form=form)
            if may_decide(request, version)
            else {}
        ),
    }
    return render(request, "training/versions/version.html", context, status=422 if form is not None else 200)


def decision_forms(
    request: UserRequest, version: ModelVersion, *, submitted_action: str, form: DecisionForm | None
) -> dict[str, Any]:
    """The decisions that are possible now, each with its form."""
    kind = ModelVersion.Kind(version.kind)
    found: dict[str, Any] = {"submitted_action": submitted_action}
    if version.stage == Stage.CANDIDATE:
        promotion = PromotionForm(version=version, request=request)
        if promotion.fields["project"].queryset.exists():  # type: ignore[attr-defined]
            found["promotion"] = promotion
        found["archiving"] = DecisionForm()
    elif version.stage == Stage.ARCHIVED:
        found["restoring"] = DecisionForm()
    elif version.project is not None:
        found["earlier"] = decisions.previous_production(version.project, kind)
        found["rolling_back"] = DecisionForm() if found["earlier"] else None
    names = {
        "promote": "promotion",
        "archive": "archiving",
        "restore": "restoring",
        "roll_back": "rolling_back",
    }
    if form is not None:
        found[names[submitted_action]] = form
    return found


def latest_samples(request: UserRequest, version: ModelVersion) -> list[Sample]:
    """The latest samples of a version that annotators get, in projects that this person may see."""
    projects = Project.objects.allowed(request.user, "training.view_modelversion")
    samples = Sample.objects.filter(generator__model_version=version, prompt__project__in=projects)
    return list(samples.select_related("prompt").order_by("-pk")[:MAX_SAMPLES])
