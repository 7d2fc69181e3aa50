"""The page on which tasks are answered."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labeling import queue
from labeling.access import UserRequest, active_project, annotator_required, own_assignment
from labeling.feedback import AnswerError, parse_answer
from labeling.models import Task
from labeling.queue import LeaseLost
from labeling.views.task_page import (
    after,
    held_task,
    lesson,
    next_address,
    next_task,
    notice,
    sent,
    stored,
    work_page,
)

# /projects/<slug>/


@require_GET
@annotator_required
@never_cache
def work(request: UserRequest, slug: str) -> HttpResponse:
    """The page on which tasks are answered, with the first one on it."""
    project = active_project(request.user, slug)
    return work_page(request, next_task(request.user, project))


@require_POST
@annotator_required
def claim(request: UserRequest, slug: str) -> HttpResponse:
    """The next task, for a page that has none, lost its own, or looked at something else."""
    content = next_task(request.user, active_project(request.user, slug))
    if content["assignment"] is None and "waiting" in request.POST:
        return HttpResponse(status=204)  # nothing new: the waiting page stays as it is
    return work_page(request, content)


# /assignments/<id>/


@require_GET
@annotator_required
@never_cache
def assignment(request: UserRequest, pk: int) -> HttpResponse:
    """A task the person holds. `?next=` is where to go after the answer."""
    own = own_assignment(request.user, pk)
    if not queue.renew(own):
        messages.info(request, "That task is no longer reserved for you.")
        return redirect(next_address(request) or own.project)
    return work_page(request, held_task(request.user, own))


@require_POST
@annotator_required
def submit(request: UserRequest, pk: int) -> HttpResponse:
    """Store an answer; the response carries the next task, after a training task what was right."""
    own = own_assignment(request.user, pk)
    try:
        answer = parse_answer(sent(request, "answer"))
        annotation = queue.submit(own, answer, client_key=request.POST.get("client_key", ""))
    except AnswerError as error:
        return notice(request, own.project, status=422, error=str(error))
    except LeaseLost:
        return notice(request, own.project, status=409)
    if own.task.kind == Task.Kind.TRAINING:
        return stored(work_page(request, lesson(request.user, annotation)))
    return stored(after(request, own.project))


@require_POST
@annotator_required
def skip(request: UserRequest, pk: int) -> HttpResponse:
    """Leave a task to others; the response carries the next one."""
    own = own_assignment(request.user, pk)
    try:
        # The reason of the button that was pressed, or the one that was written.
        queue.skip(own, reason=next(filter(None, request.POST.getlist("reason")), ""))
    except LeaseLost:
        return notice(request, own.project, status=409)
    return stored(after(request, own.project))


@require_POST
@annotator_required
def draft(request: UserRequest, pk: int) -> HttpResponse:
    """Keep an unfinished answer, and with it the task."""
    own = own_assignment(request.user, pk)
    try:
        kept = queue.save_draft(own, sent(request, "draft"))
    except AnswerError as error:
        return notice(request, own.project, status=422, error=str(error))
    return HttpResponse(status=204) if kept else notice(request, own.project, status=409)


@require_POST
@annotator_required
def renew(request: UserRequest, pk: int) -> HttpResponse:
    """Keep a task that is being worked on."""
    own = own_assignment(request.user, pk)
    return HttpResponse(status=204) if queue.renew(own) else notice(request, own.project, status=409)
