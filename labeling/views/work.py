"""The page on which tasks are answered, and the list of projects that leads there."""

import json
from typing import Any
from uuid import uuid4

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import reswap, retarget

from labeling import queue
from labeling.access import UserRequest, active_project, annotator_required, own_assignment
from labeling.feedback import AnswerError, parse_answer
from labeling.markdown import render as render_markdown
from labeling.models import Assignment, Project, Task
from labeling.queue import LeaseLost

RENEWALS_A_LEASE = 3


def answered_today(user: User, project: Project) -> int:
    """How many of the project's tasks this person has answered since midnight."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    answered = Assignment.objects.submitted().filter(annotator=user, project=project)
    return answered.filter(finished__gte=midnight).count()


@require_GET
@login_required
@never_cache
def projects(request: UserRequest) -> HttpResponse:
    """What there is to do."""
    rows = [
        {
            "project": project,
            "waiting": Task.objects.filter(project=project).waiting_for(request.user).count(),
            "today": answered_today(request.user, project),
        }
        for project in Project.objects.for_annotator(request.user)
    ]
    return render(request, "labeling/projects.html", {"rows": rows})


# /projects/<slug>/


@require_GET
@annotator_required
@never_cache
def work(request: UserRequest, slug: str) -> HttpResponse:
    """The page on which tasks are answered, with the first one on it."""
    project = active_project(request.user, slug)
    guidelines = project.guidelines
    context = _task_context(request, project) | {
        "guidelines": guidelines,
        "guidelines_html": render_markdown(guidelines.text) if guidelines else "",
        "keys_template": f"labeling/kinds/{project.feedback}_keys.html",
    }
    return render(request, "labeling/work.html", context)


@require_POST
@annotator_required
def claim(request: UserRequest, slug: str) -> HttpResponse:
    """The next task, for a page that has none or lost its own."""
    context = _task_context(request, active_project(request.user, slug))
    if context["assignment"] is None and "waiting" in request.POST:
        return HttpResponse(status=204)  # nothing new: the waiting page stays as it is
    return render(request, "labeling/task.html", context)


# /assignments/<id>/


@require_POST
@annotator_required
def submit(request: UserRequest, pk: int) -> HttpResponse:
    """Store an answer; the response carries the next task."""
    assignment = own_assignment(request.user, pk)
    try:
        answer = parse_answer(_decode(request.POST.get("answer", "")))
        queue.submit(assignment, answer, client_key=request.POST.get("client_key", ""))
    except AnswerError as error:
        return _notice(request, assignment, status=422, error=str(error))
    except LeaseLost:
        return _notice(request, assignment, status=409)
    return render(request, "labeling/task.html", _task_context(request, assignment.project))


@require_POST
@annotator_required
def skip(request: UserRequest, pk: int) -> HttpResponse:
    """Leave a task to others; the response carries the next one."""
    assignment = own_assignment(request.user, pk)
    try:
        queue.skip(assignment, reason=request.POST.get("reason", ""))
    except LeaseLost:
        return _notice(request, assignment, status=409)
    return render(request, "labeling/task.html", _task_context(request, assignment.project))


@require_POST
@annotator_required
def renew(request: UserRequest, pk: int) -> HttpResponse:
    """Keep a task that is being worked on."""
    assignment = own_assignment(request.user, pk)
    if queue.renew(assignment):
        return HttpResponse(status=204)
    return _notice(request, assignment, status=409)


def _task_context(request: UserRequest, project: Project) -> dict[str, Any]:
    """A leased task, or none, and what its page shows. Nothing in it says who wrote a sample."""
    assignment = queue.claim(annotator=request.user, project=project)
    context: dict[str, Any] = {
        "project": project,
        "assignment": assignment,
        "today": answered_today(request.user, project),
    }
    if assignment is not None:
        context |= {
            "prompt": assignment.task.prompt.text,
            # The space that joins a completion to its prompt would only look like an indent.
            "samples": [sample.text.removeprefix(" ") for sample in assignment.shown_samples()],
            "card_template": f"labeling/kinds/{project.feedback}_card.html",
            "dock_template": f"labeling/kinds/{project.feedback}_dock.html",
            "scale": range(1, project.scale + 1),
            "client_key": uuid4().hex,
            "renew_seconds": project.lease_minutes * 60 // RENEWALS_A_LEASE,
        }
    return context


def _notice(request: UserRequest, assignment: Assignment, *, status: int, error: str = "") -> HttpResponse:
    """Say what went wrong beside the task, which stays on the page with its draft."""
    context = {"project": assignment.project, "error": error}
    response = render(request, "labeling/notice.html", context, status=status)
    return reswap(retarget(response, "#notice"), "innerHTML")


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise AnswerError("answer: not JSON.") from None
