"""Pages for reviewers: final decisions on disputed tasks, and gold and training tasks made from answers."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labeling.access import UserRequest, allowed_project, login_required
from labeling.control_tasks import create_gold_task
from labeling.feedback import AnswerError
from labeling.models import Adjudication, Project, Task
from labeling.quality import adjudication as adjudication_queries
from labeling.quality.annotation_arrays import load_annotation_arrays
from labeling.quality.gold import gold_copies
from labeling.queue import claim_task
from labeling.views.quality import REVIEW
from labeling.views.rendered_text import render_completion, render_prompt
from labeling.workspace.answer_text import summarize_answer

MAX_LISTED_TASKS = 100

# /projects/<slug>/adjudication/


@require_GET
@login_required
@never_cache
def adjudication(request: UserRequest, slug: str) -> HttpResponse:
    """The tasks that need a final decision, and those that have one."""
    project = allowed_project(request.user, slug, REVIEW)
    open_tasks = adjudication_queries.disagreements(load_annotation_arrays(project))
    decided = Adjudication.objects.filter(task__project=project)
    context = {
        "project": project,
        "open_tasks": adjudication_queries.attach_tasks(open_tasks[:MAX_LISTED_TASKS]),
        "open_count": len(open_tasks),
        "own_tasks": adjudication_queries.answered_task_ids(request.user, project),
        "decided": decided.select_related("task__prompt", "assignment__annotator").order_by("-created")[
            :MAX_LISTED_TASKS
        ],
    }
    return render(request, "labeling/quality/adjudication.html", context)


@require_GET
@login_required
@never_cache
def adjudicate(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """One task. All answers are shown once the reviewer has answered it; before that, a page that says so."""
    task = _task(request.user, slug, pk)
    own = adjudication_queries.own_annotation(request.user, task)
    context: dict[str, Any] = {"project": task.project, "task": task, "own_annotation": own}
    if own is None:
        context["answer_count"] = len(adjudication_queries.task_annotations(task))
        return render(request, "labeling/quality/answer_first.html", context)
    places = list(task.task_samples.select_related("sample"))
    keys = [place.sample_id for place in places]
    answers = adjudication_queries.task_annotations(task)
    decided = Adjudication.objects.filter(task=task).first()
    context |= {
        "prompt": render_prompt(task.prompt, task.project),
        "agreement": adjudication_queries.task_agreement(task),
        "samples": [render_completion(place.sample.text, task.project) for place in places],
        "answers": [
            {
                "annotation": annotation,
                "answer_text": summarize_answer(annotation.answer_in_order(keys)),
                "criteria": criteria_text(annotation.answer_in_order(keys).criteria),
                "is_own": annotation.pk == own.pk,
                "is_final": decided is not None and decided.assignment_id == annotation.assignment_id,
            }
            for annotation in answers
        ],
        "decision": decided,
        "control_tasks": gold_copies(task),
        "can_be_gold": task.project.feedback != Project.FeedbackKind.REWRITE,
    }
    return render(request, "labeling/quality/adjudicate.html", context)


@require_POST
@login_required
def vote(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Claim this task for the reviewer and open it on the task page."""
    task = _task(request.user, slug, pk, REVIEW, "labeling.label")
    held = claim_task(annotator=request.user, task=task)
    return_url = reverse("labeling:adjudicate", args=[slug, pk])
    if not held.is_leased:
        return redirect(return_url)
    return redirect(f"{reverse('labeling:assignment', args=[held.pk])}?{urlencode({'next': return_url})}")


@require_POST
@login_required
def settle(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Store a final decision, or reopen the task."""
    task = _task(request.user, slug, pk)
    own = adjudication_queries.own_annotation(request.user, task)
    decision = request.POST.get("decision")
    note = request.POST.get("note", "").replace("\x00", "")
    if own is None:
        messages.warning(request, "Answer the task yourself first.")
    elif decision == "mine":
        adjudication_queries.adjudicate(task=task, chosen=own.assignment, note=note)
        messages.success(request, "Your answer is now the final decision on this task.")
    elif decision == "all":
        adjudication_queries.adjudicate(task=task, chosen=None, note=note)
        messages.success(request, "All answers to this task are kept.")
    elif decision == "reopen":
        adjudication_queries.reopen(task)
        messages.success(request, "The task is open again.")
    else:
        messages.warning(request, "Choose an option: your answer as final, or keep all answers.")
    return redirect("labeling:adjudicate", slug, pk)


@require_POST
@login_required
def use_as_gold(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Make a gold or training task from this one, with the reviewer's own answer as the expected one."""
    task = _task(request.user, slug, pk)
    own = adjudication_queries.own_annotation(request.user, task)
    kind = request.POST.get("kind", "")
    explanation = request.POST.get("explanation", "").replace("\x00", "").strip()
    if own is None:
        messages.warning(request, "Answer the task yourself first.")
    elif kind not in {Task.Kind.GOLD, Task.Kind.TRAINING}:
        messages.warning(request, "Choose a kind: gold or training task.")
    elif kind == Task.Kind.TRAINING and not explanation:
        messages.warning(request, "Add an explanation: people read it after answering a training task.")
    else:
        answer = own.answer_in_order([place.sample_id for place in task.task_samples.all()])
        try:
            create_gold_task(
                task=task, answer=answer, kind=kind, explanation=explanation, author=request.user
            )
        except AnswerError as error:
            messages.warning(request, str(error))
        else:
            name = "gold task" if kind == Task.Kind.GOLD else "training task"
            messages.success(request, f"Created a {name} from this task, with your answer.")
    return redirect("labeling:adjudicate", slug, pk)


# /projects/<slug>/gold/


@require_GET
@login_required
@never_cache
def gold(request: UserRequest, slug: str) -> HttpResponse:
    """The gold and training tasks with their accuracy, and tasks that could be made into more."""
    project = allowed_project(request.user, slug, REVIEW)
    context = {
        "project": project,
        "control_tasks": adjudication_queries.known_task_stats(project),
        "candidates": adjudication_queries.gold_candidates(request.user, project),
    }
    return render(request, "labeling/quality/gold.html", context)


def criteria_text(criteria: Any) -> str:
    """The values by criterion, sample by sample: "kind 3, 4; true 2, 5"."""
    if not criteria:
        return ""
    return "; ".join(f"{name} {', '.join(str(values[name]) for values in criteria)}" for name in criteria[0])


def _task(user: User, slug: str, pk: int, *rights: str) -> Task:
    """An ordinary task in a project where the user has these rights (by default: to review), or 404."""
    project = allowed_project(user, slug, *(rights or (REVIEW,)))
    tasks = Task.objects.ordinary().select_related("project", "prompt")
    return get_object_or_404(tasks, pk=pk, project=project)
