"""The task page, where annotators answer tasks."""

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
    continue_response,
    error_response,
    held_task_context,
    json_field,
    next_task_context,
    next_url,
    render_work_page,
    training_feedback_context,
    with_stored_event,
)

# /projects/<slug>/


@require_GET
@annotator_required
@never_cache
def work(request: UserRequest, slug: str) -> HttpResponse:
    """The task page with the first task."""
    project = active_project(request.user, slug)
    return render_work_page(request, next_task_context(request.user, project))


@require_POST
@annotator_required
def claim(request: UserRequest, slug: str) -> HttpResponse:
    """The next task, for a page that has none, lost its lease, or was editing an answer."""
    content = next_task_context(request.user, active_project(request.user, slug))
    if content["assignment"] is None and "waiting" in request.POST:
        return HttpResponse(status=204)  # no task yet: the page keeps waiting
    return render_work_page(request, content)


# /assignments/<id>/


@require_GET
@annotator_required
@never_cache
def assignment(request: UserRequest, pk: int) -> HttpResponse:
    """A task the annotator holds. `?next=` is the page to go to after the answer."""
    own = own_assignment(request.user, pk)
    if not queue.renew(own):
        messages.info(request, "That task is no longer reserved for you.")
        return redirect(next_url(request) or own.project)
    return render_work_page(request, held_task_context(request.user, own))


@require_POST
@annotator_required
def submit(request: UserRequest, pk: int) -> HttpResponse:
    """Store an answer. The response is the next task, or the expected answer after a training task."""
    own = own_assignment(request.user, pk)
    try:
        answer = parse_answer(json_field(request, "answer"))
        annotation = queue.submit(own, answer, client_key=request.POST.get("client_key", ""))
    except AnswerError as error:
        return error_response(request, own.project, status=422, error=str(error))
    except LeaseLost:
        return error_response(request, own.project, status=409)
    if own.task.kind == Task.Kind.TRAINING:
        return with_stored_event(
            render_work_page(request, training_feedback_context(request.user, annotation))
        )
    return with_stored_event(continue_response(request, own.project))


@require_POST
@annotator_required
def skip(request: UserRequest, pk: int) -> HttpResponse:
    """Skip a task; the response is the next one."""
    own = own_assignment(request.user, pk)
    try:
        # The reason of the button pressed, or the one typed in.
        queue.skip(own, reason=next(filter(None, request.POST.getlist("reason")), ""))
    except LeaseLost:
        return error_response(request, own.project, status=409)
    return with_stored_event(continue_response(request, own.project))


@require_POST
@annotator_required
def draft(request: UserRequest, pk: int) -> HttpResponse:
    """Save a draft and renew the lease."""
    own = own_assignment(request.user, pk)
    try:
        kept = queue.save_draft(own, json_field(request, "draft"))
    except AnswerError as error:
        return error_response(request, own.project, status=422, error=str(error))
    return HttpResponse(status=204) if kept else error_response(request, own.project, status=409)


@require_POST
@annotator_required
def renew(request: UserRequest, pk: int) -> HttpResponse:
    """Renew the lease."""
    own = own_assignment(request.user, pk)
    return HttpResponse(status=204) if queue.renew(own) else error_response(request, own.project, status=409)
