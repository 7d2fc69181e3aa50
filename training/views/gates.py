"""Pages of gates: blind comparisons of a candidate with the version in production."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labeling.access import UserRequest, allowed_project, login_required
from labeling.models import Project
from training.models import Gate, ModelVersion, Run
from training.registry import gates
from training.registry.gate_evidence import (
    Evidence,
    answers_by_annotator,
    evidence_of,
    generators_of,
    summarise,
)
from training.reports.sequence_plot import SequencePlot
from training.views.runs import STOP_POLLING

VIEW, START = "training.view_modelversion", "training.add_run"

# /gates/<pk>/


@require_GET
@login_required
@never_cache
def gate(request: UserRequest, pk: int) -> HttpResponse:
    """The evidence so far, what is missing, and the outcome."""
    return render(request, "training/gates/gate.html", gate_context(request, visible_gate(request, pk)))


@require_GET
@login_required
@never_cache
def gate_evidence(request: UserRequest, pk: int) -> HttpResponse:
    """The part of the page that changes; polled until the gate closes."""
    context = gate_context(request, visible_gate(request, pk))
    status = 200 if context["gate"].outcome == Gate.Outcome.OPEN else STOP_POLLING
    return render(request, "training/gates/_evidence.html", context, status=status)


@require_POST
@login_required
def ask_more(request: UserRequest, pk: int) -> HttpResponse:
    """Add prompts to compare on."""
    found = changeable_gate(request, pk)
    try:
        gates.ask_more(found, by=request.user)
    except gates.NotOpened as error:
        messages.error(request, str(error))
    return redirect(found)


@require_POST
@login_required
def withdraw_gate(request: UserRequest, pk: int) -> HttpResponse:
    """Withdraw the gate: no more tasks are given out."""
    found = changeable_gate(request, pk)
    if gates.withdraw(found):
        messages.success(request, "Gate withdrawn. Its answers are kept.")
    else:
        messages.error(request, "The gate is already closed.")
    return redirect(found)


# /models/<name>/gate/


@require_POST
@login_required
def open_gate(request: UserRequest, name: str) -> HttpResponse:
    """Open a gate for a version; `project` names the project if the version has none yet."""
    version = get_object_or_404(ModelVersion.objects.visible_to(request.user), name=name)
    project = version.project or allowed_project(request.user, request.POST.get("project", ""), START)
    if not request.user.has_perm(START, project):
        raise PermissionDenied
    try:
        opened = gates.open_gate(version, project=project, by=request.user)
    except gates.NotOpened as error:
        messages.error(request, str(error))
        return redirect(version)
    return redirect(opened)


def visible_gate(request: UserRequest, pk: int) -> Gate:
    """The gate, with its outcome up to date; 404 for people who may not see the versions of its project."""
    projects = Project.objects.allowed(request.user, VIEW)
    related = ("project", "candidate__generator", "against__generator", "run", "opened_by")
    return gates.close_if_decided(
        get_object_or_404(Gate.objects.select_related(*related), pk=pk, project__in=projects)
    )


def changeable_gate(request: UserRequest, pk: int) -> Gate:
    """The same for people who may start runs in its project; raises PermissionDenied for others."""
    found = visible_gate(request, pk)
    if not request.user.has_perm(START, found.project):
        raise PermissionDenied
    return found


def gate_context(request: UserRequest, found: Gate) -> dict[str, Any]:
    current_evidence = evidence_of(found)
    sequence = current_evidence.sequence
    ours, theirs = generators_of(found)
    plot = SequencePlot(
        rates=sequence.rates.tolist(),
        lows=sequence.lows.tolist(),
        highs=sequence.highs.tolist(),
        max_count=found.max_prompts,
        names=(ours.name, theirs.name),
    )
    is_open = found.outcome == Gate.Outcome.OPEN
    is_current = ModelVersion.objects.production(found.project) == found.against
    return {
        "gate": found,
        "project": found.project,
        "is_open": is_open,
        "evidence": current_evidence,
        "plot": plot if current_evidence.compared else None,
        "annotators": answers_by_annotator(found),
        "asking": found.run is not None and found.run.is_active,
        "run_ended_badly": is_open and found.run is not None and found.run.status in Run.ENDED_EARLY,
        "is_current": is_current,
        "may_change": request.user.has_perm(START, found.project),
        "may_label": request.user.has_perm("labeling.label", found.project) and found.project.is_active,
        "may_review": request.user.has_perm("labeling.review", found.project),
        "may_promote": request.user.has_perm("training.promote_modelversion", found.project),
        "can_ask_more": is_current and gates.can_ask_more(found),
        "sentence": summarise(found, current_evidence),
        "step": next_step(found, current_evidence, is_current=is_current),
        "answers": f"{reverse('training:answers', args=[found.project.slug])}?"
        + urlencode({"first": ours.name, "second": theirs.name, "split": "heldout"}),
    }


def next_step(found: Gate, current_evidence: Evidence, *, is_current: bool) -> str:
    """What happens next, or what to do, in a sentence."""
    if not is_current:
        return f"{found.against} is no longer in production: the candidate needs a new gate."
    if found.outcome != Gate.Outcome.OPEN:
        return NEXT_STEPS[Gate.Outcome(found.outcome)].format(
            candidate=found.candidate, against=found.against
        )
    if found.run is not None and found.run.is_active:
        return "Samples are being generated. The tasks open when the run has finished."
    if current_evidence.waiting:
        tasks = "1 task does" if current_evidence.waiting == 1 else f"{current_evidence.waiting} tasks do"
        return f"{tasks} not have enough answers yet."
    return ""


NEXT_STEPS = {
    Gate.Outcome.MET: "{candidate} can be promoted.",
    Gate.Outcome.REFUSED: "{against} stays in production, unless an admin overrides the gate with a reason.",
    Gate.Outcome.UNDECIDED: "Add prompts, or let an admin override the gate with a reason.",
    Gate.Outcome.WITHDRAWN: "Its answers are kept, and count if the two versions are compared again.",
}
