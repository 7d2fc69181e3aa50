"""One's own recent answers: list them, edit them, reopen skipped tasks."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labeling import queue
from labeling.access import UserRequest, active_project, annotator_required, own_assignment
from labeling.feedback import AnswerError, parse_answer
from labeling.models import Assignment
from labeling.queue import LeaseLost, NotEditable
from labeling.views.task_page import (
    continue_response,
    error_response,
    held_task_context,
    json_field,
    next_url,
    render_work_page,
    stored_answer_context,
    with_stored_event,
)
from labeling.workspace.history import answer_history

# /projects/<slug>/


@require_GET
@annotator_required
@never_cache
def recent_answers(request: UserRequest, slug: str) -> HttpResponse:
    """The recent answers in a project, for the dialog on the task page."""
    project = active_project(request.user, slug)
    return render(
        request,
        "labeling/_recent_answers.html",
        {"entries": answer_history(request.user, project), "next_url": next_url(request)},
    )


# /assignments/<id>/


@require_GET
@annotator_required
@never_cache
def edit(request: UserRequest, pk: int) -> HttpResponse:
    """An answer on the task page, for editing. `?next=` is the page to go to afterwards."""
    own = own_assignment(request.user, pk)
    editable = queue.editable_assignments(annotator=request.user, project=own.project)
    if own not in editable or own.state != Assignment.State.SUBMITTED:
        problem = f"This answer can no longer be edited: only your last {queue.MAX_EDITABLE_ANSWERS} can."
        if request.htmx:
            return error_response(request, own.project, status=409, error=problem)
        messages.info(request, problem)
        return redirect(next_url(request) or "labeling:my_work")
    return render_work_page(request, stored_answer_context(request.user, own))


@require_POST
@annotator_required
def revise(request: UserRequest, pk: int) -> HttpResponse:
    """Store an edited answer as a new version; the response is the task that is held."""
    own = own_assignment(request.user, pk)
    try:
        answer = parse_answer(json_field(request, "answer"))
        queue.revise(own, answer, client_key=request.POST.get("client_key", ""))
    except AnswerError as error:
        return error_response(request, own.project, status=422, error=str(error))
    except NotEditable as error:
        return error_response(request, own.project, status=409, error=str(error))
    return with_stored_event(continue_response(request, own.project))


@require_POST
@annotator_required
def take_again(request: UserRequest, pk: int) -> HttpResponse:
    """Lease a skipped task again."""
    own = own_assignment(request.user, pk)
    try:
        reopened = queue.reclaim(own)
    except LeaseLost as error:
        if request.htmx:
            return error_response(request, own.project, status=409, error=str(error))
        messages.info(request, str(error))
        return redirect("labeling:my_work")
    if not request.htmx:
        return redirect("labeling:assignment", reopened.pk)
    return render_work_page(request, held_task_context(request.user, reopened))
