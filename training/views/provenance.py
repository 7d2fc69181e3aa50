"""Provenance pages: snapshots, the answers in them and the versions trained on them; deletion of answers."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from labeling.access import UserRequest, allowed_project, login_required
from labeling.models import Annotation, Assignment, PreferenceSnapshot, Project, SnapshotAnswer
from labeling.models.annotations import AnnotationQuerySet
from labeling.people import answer_deletion
from labeling.views.rendered_text import render_completion, render_prompt
from labeling.workspace.answer_text import summarize_answer
from training import provenance
from training.models import Gate, ModelVersion, Run
from training.provenance.answer_list import AnswerFilter, answer_rows, tasks_to_come

PAGE_SIZE = 50
MAX_PEOPLE = 200

# /snapshots/<pk>/


@require_GET
@login_required
@never_cache
def snapshot(request: UserRequest, pk: int) -> HttpResponse:
    """A snapshot: its content, its annotators, the runs that used it, and all its answers."""
    snapshots = PreferenceSnapshot.objects.select_related("project").defer("content")
    found = get_object_or_404(snapshots, pk=pk)
    allowed_project(request.user, found.project.slug, "labeling.review")
    rows = SnapshotAnswer.objects.filter(snapshot=found).order_by()
    people = rows.values_list("annotation__assignment__annotator__username").annotate(answers=Count("pk"))
    versions = rows.values_list("annotation__guidelines__version").annotate(answers=Count("pk"))
    runs = Run.objects.visible_to(request.user).filter(snapshot=found).select_related("version")
    context = {
        "snapshot": found,
        "project": found.project,
        "people": people.order_by("-answers", "annotation__assignment__annotator__username")[:MAX_PEOPLE],
        "guidelines": versions.order_by("annotation__guidelines__version"),
        "runs": runs.order_by("pk"),
        **_answer_list_context(request, found.project, Annotation.objects.filter(snapshots=found)),
    }
    return render(
        request, "training/provenance/snapshot.html", context, status=422 if context["form"].errors else 200
    )


# /projects/<slug>/answers/


@require_GET
@login_required
@never_cache
def answers(request: UserRequest, slug: str) -> HttpResponse:
    """The answers of a project, or those that a metric was computed from."""
    project = allowed_project(request.user, slug, "labeling.review")
    counting = Annotation.objects.for_project(project).latest_revisions()
    if request.GET.get("second"):
        # Win rates use the answers that are trained on: not those to gold tasks and repeats.
        counting = counting.used_for_training()
    context = {"project": project, **_answer_list_context(request, project, counting)}
    return render(
        request, "training/provenance/answers.html", context, status=422 if context["form"].errors else 200
    )


def _answer_list_context(request: UserRequest, project: Project, found: AnnotationQuerySet) -> dict[str, Any]:
    """The context of one page of the filtered answers; empty if the filter is invalid."""
    form = AnswerFilter(request.GET, project=project)
    first = second = ""
    if form.is_valid():
        first, second = (str(form.cleaned_data[name] or "") for name in ("first", "second"))
        found = form.apply(found)
    else:
        found = found.none()
    related = ("assignment__project", "assignment__annotator", "assignment__task__prompt")
    page = Paginator(found.select_related(*related).prefetch_related("judgements"), PAGE_SIZE).get_page(
        request.GET.get("page")
    )
    query = request.GET.copy()
    query.pop("page", None)
    return {
        "form": form,
        "page": page,
        "rows": answer_rows(page, reader=request.user, first=first, second=second),
        "first": first,
        "second": second,
        "query": query.urlencode(),
    }


# /answers/<pk>/


@require_GET
@login_required
@never_cache
def answer(request: UserRequest, pk: int) -> HttpResponse:
    """One answer, and what it was used in. `?show=` shows it to people who may still get the task."""
    related = (
        *("assignment__project", "assignment__annotator", "assignment__task__prompt", "guidelines"),
        "assignment__task__adjudication__assignment__annotator",
    )
    found = get_object_or_404(Annotation.objects.select_related(*related), pk=pk)
    assignment = found.assignment
    project = allowed_project(request.user, assignment.project.slug, "labeling.review")
    task = assignment.task
    coming = bool(tasks_to_come([task.pk], request.user))
    judged = {judgement.sample_id: judgement for judgement in found.judgements.all()}
    revisions = Annotation.objects.filter(assignment=assignment).order_by("revision")
    context = {
        "annotation": found,
        "project": project,
        "task": task,
        "is_hidden": coming and "show" not in request.GET,
        "prompt": render_prompt(task.prompt, project),
        "summary": summarize_answer(found.answer),
        "samples": [
            {
                "sample": sample,
                "shown": render_completion(sample.text, project),
                "judgement": judged.get(sample.pk),
                "is_edited": sample.pk == found.edited_id,
            }
            for sample in assignment.shown_samples()
        ],
        "revisions": revisions,
        "latest": revisions.last(),
        "others": Annotation.objects.filter(assignment__task=task)
        .latest_revisions()
        .exclude(assignment=assignment)
        .count(),
        "final_decision": getattr(task, "adjudication", None),
        **_influence_context(request.user, found),
    }
    return render(request, "training/provenance/answer.html", context)


def _influence_context(user: User, annotation: Annotation) -> dict[str, Any]:
    """What an answer was used in, as far as this person may see it, and the number of other versions."""
    influence = provenance.influence_of(annotation)
    runs = set(Run.objects.visible_to(user).filter(pk__in=[run.pk for run in influence.runs]))
    all_versions = [*influence.versions, *influence.descendants]
    seen = set(ModelVersion.objects.visible_to(user).filter(pk__in=[each.pk for each in all_versions]))
    return {
        "influence": influence,
        "runs": [run for run in influence.runs if run in runs],
        "versions": [version for version in influence.versions if version in seen],
        "descendants": [version for version in influence.descendants if version in seen],
        "unseen": len(all_versions) - len(seen),
        "gates": [gate for gate in influence.gates if gate.outcome != Gate.Outcome.WITHDRAWN],
    }


# /people/<pk>/erase/


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
def delete_answers(request: UserRequest, pk: int) -> HttpResponse:
    """Delete a person's answers: first the consequences are shown; typing the name confirms."""
    person = get_object_or_404(User, pk=pk)
    if not answer_deletion.can_delete_answers(request.user, person):
        raise PermissionDenied
    answered = Assignment.objects.filter(annotator=person).order_by().values("project")
    mine = answer_deletion.deletable_projects(request.user).filter(pk__in=answered).order_by("name")
    problem = ""
    chosen = list(mine)
    if request.method == "POST":
        chosen = [project for project in chosen if project.slug in request.POST.getlist("projects")]
        if not chosen:
            problem = "Choose at least one project."
        elif request.POST.get("name", "").strip() != person.get_username():
            problem = f"Type the user name, {person.get_username()}, to confirm."
        else:
            gone = provenance.delete_answers(person, projects=chosen, by=request.user)
            messages.success(request, _deletion_message(person, chosen, gone))
            return redirect("training:delete_answers", pk)
    touched = provenance.affected_by(person, mine)
    visible = ModelVersion.objects.visible_to(request.user)
    context = {
        "person": person,
        "rows": [
            (project, answer_deletion.summarise_deletion(person, [project]), project in chosen)
            for project in mine
        ],
        "total": answer_deletion.summarise_deletion(person, mine),
        "elsewhere": answered.exclude(project__in=mine).distinct().count(),
        "versions": visible.filter(pk__in=touched.versions).order_by("pk"),
        "learning": Run.objects.visible_to(request.user).active().filter(pk__in=touched.runs),
        "problem": problem,
    }
    return render(request, "training/provenance/delete_answers.html", context, status=422 if problem else 200)


def _deletion_message(person: User, projects: list[Project], gone: answer_deletion.DeletionSummary) -> str:
    where = ", ".join(project.name for project in projects)
    s = "" if gone.answers == 1 else "s"
    line = (
        f"{gone.answers} answer{s} by {person.get_username()} in {where} {'is' if not s else 'are'} deleted"
    )
    if gone.snapshots:
        line += f", and removed from {gone.snapshots} snapshot{'' if gone.snapshots == 1 else 's'}"
    return f"{line}."
