"""Pages for reviewers: the last word where people disagree, and tasks made gold or training tasks."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labeling.access import UserRequest, allowed_project, signed_in
from labeling.control_tasks import make_gold
from labeling.feedback import AnswerError
from labeling.models import Adjudication, Project, Task
from labeling.quality import adjudication as last_word
from labeling.quality.annotation_arrays import answers_of
from labeling.quality.gold import gold_of
from labeling.queue import claim_task
from labeling.views.quality import REVIEW
from labeling.views.task_page import shown
from labeling.workspace.answer_text import in_words

MOST_TASKS = 100

# /projects/<slug>/adjudication/


@require_GET
@signed_in
@never_cache
def adjudication(request: UserRequest, slug: str) -> HttpResponse:
    """The tasks that wait for a last word, and those that have one."""
    project = allowed_project(request.user, slug, REVIEW)
    waiting = last_word.disagreements(answers_of(project))
    settled = Adjudication.objects.filter(task__project=project)
    context = {
        "project": project,
        "rows": last_word.with_tasks(waiting[:MOST_TASKS]),
        "count": len(waiting),
        "mine": last_word.own_tasks(request.user, project),
        "settled": settled.select_related("task__prompt", "assignment__annotator").order_by("-created")[
            :MOST_TASKS
        ],
    }
    return render(request, "labeling/quality/adjudication.html", context)


@require_GET
@signed_in
@never_cache
def adjudicate(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """One task: before the reader's own vote how to give it, after it what everybody said."""
    task = _task(request.user, slug, pk)
    own = last_word.own_answer(request.user, task)
    context: dict[str, Any] = {"project": task.project, "task": task, "own": own}
    if own is None:
        context["answers"] = len(last_word.answers_to(task))
        return render(request, "labeling/quality/answer_first.html", context)
    places = list(task.places.select_related("sample"))
    keys = [place.sample_id for place in places]
    answers = last_word.answers_to(task)
    decided = Adjudication.objects.filter(task=task).first()
    context |= {
        "prompt": shown(task.prompt.text, task.project),
        "agreement": last_word.agreement_on(task),
        "samples": [shown(place.sample.text.removeprefix(" "), task.project) for place in places],
        "rows": [
            {
                "annotation": annotation,
                "said": in_words(annotation.answer_in(keys)),
                "criteria": criteria_in_words(annotation.answer_in(keys).criteria),
                "is_own": annotation.pk == own.pk,
                "counts": decided is not None and decided.assignment_id == annotation.assignment_id,
            }
            for annotation in answers
        ],
        "decided": decided,
        "gold": gold_of(task),
        "may_be_gold": task.project.feedback != Project.FeedbackKind.REWRITE,
    }
    return render(request, "labeling/quality/adjudicate.html", context)


@require_POST
@signed_in
def vote(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Give the reader this very task, on the page on which everybody answers."""
    task = _task(request.user, slug, pk, REVIEW, "labeling.label")
    held = claim_task(annotator=request.user, task=task)
    back = reverse("labeling:adjudicate", args=[slug, pk])
    if not held.is_leased:
        return redirect(back)
    return redirect(f"{reverse('labeling:assignment', args=[held.pk])}?{urlencode({'next': back})}")


@require_POST
@signed_in
def settle(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Have the last word, or take it back."""
    task = _task(request.user, slug, pk)
    own = last_word.own_answer(request.user, task)
    decision = request.POST.get("decision")
    note = request.POST.get("note", "").replace("\x00", "")
    if own is None:
        messages.warning(request, "Answer the task yourself first.")
    elif decision == "mine":
        last_word.settle(task=task, chosen=own.assignment, note=note)
        messages.success(request, "Your answer is now the final decision on this task.")
    elif decision == "all":
        last_word.settle(task=task, chosen=None, note=note)
        messages.success(request, "All answers to this task are kept.")
    elif decision == "reopen":
        last_word.reopen(task)
        messages.success(request, "The task is open again.")
    else:
        messages.warning(request, "Choose an option: your answer as final, or keep all answers.")
    return redirect("labeling:adjudicate", slug, pk)


@require_POST
@signed_in
def use_as_gold(request: UserRequest, slug: str, pk: int) -> HttpResponse:
    """Make a gold or training task of this one, with the reader's own answer."""
    task = _task(request.user, slug, pk)
    own = last_word.own_answer(request.user, task)
    kind = request.POST.get("kind", "")
    explanation = request.POST.get("explanation", "").replace("\x00", "").strip()
    if own is None:
        messages.warning(request, "Answer the task yourself first.")
    elif kind not in {Task.Kind.GOLD, Task.Kind.TRAINING}:
        messages.warning(request, "Choose a kind: gold or training task.")
    elif kind == Task.Kind.TRAINING and not explanation:
        messages.warning(request, "Add an explanation: people read it after answering a training task.")
    else:
        answer = own.answer_in([place.sample_id for place in task.places.all()])
        try:
            make_gold(task=task, answer=answer, kind=kind, explanation=explanation, author=request.user)
        except AnswerError as error:
            messages.warning(request, str(error))
        else:
            name = "gold task" if kind == Task.Kind.GOLD else "training task"
            messages.success(request, f"Created a {name} from this task, with your answer.")
    return redirect("labeling:adjudicate", slug, pk)


# /projects/<slug>/gold/


@require_GET
@signed_in
@never_cache
def gold(request: UserRequest, slug: str) -> HttpResponse:
    """The tasks whose answer is known, how people do on them, and tasks to make more of."""
    project = allowed_project(request.user, slug, REVIEW)
    context = {
        "project": project,
        "known": last_word.known_tasks(project),
        "candidates": last_word.candidates(request.user, project),
    }
    return render(request, "labeling/quality/gold.html", context)


def criteria_in_words(criteria: Any) -> str:
    """What was said by each criterion, sample by sample."""
    if not criteria:
        return ""
    return "; ".join(f"{name} {', '.join(str(given[name]) for given in criteria)}" for name in criteria[0])


def _task(user: User, slug: str, pk: int, *rights: str) -> Task:
    """An ordinary task of a project in which the person has the rights, that to review by default; or 404."""
    project = allowed_project(user, slug, *(rights or (REVIEW,)))
    tasks = Task.objects.ordinary().select_related("project", "prompt")
    return get_object_or_404(tasks, pk=pk, project=project)
