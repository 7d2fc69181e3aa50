"""One's own last answers: looked at, changed, and taken up again where they were skipped."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from labeling import queue
from labeling.access import UserRequest, active_project, annotator_required, own_assignment
from labeling.feedback import AnswerError, parse_answer
from labeling.models import Assignment
from labeling.queue import LeaseLost, TooLate
from labeling.views.task_page import (
    after,
    held_task,
    next_address,
    notice,
    sent,
    stored,
    stored_answer,
    work_page,
)
from labeling.workspace.history import history_of

# /projects/<slug>/


@require_GET
@annotator_required
@never_cache
def last(request: UserRequest, slug: str) -> HttpResponse:
    """The last answers in a project, as the work page lists them."""
    project = active_project(request.user, slug)
    return render(request, "labeling/_recent_answers.html", {"entries": history_of(request.user, project)})


# /assignments/<id>/


@require_GET
@annotator_required
@never_cache
def edit(request: UserRequest, pk: int) -> HttpResponse:
    """An answer on the page on which it was given, to be changed. `?next=` is where to go after it."""
    own = own_assignment(request.user, pk)
    last_ones = queue.last_answers(annotator=request.user, project=own.project)
    if own not in last_ones or own.state != Assignment.State.SUBMITTED:
        line = f"This answer can no longer be edited: only your last {queue.LAST_EDITABLE} in a project can."
        if request.htmx:
            return notice(request, own.project, status=409, error=line)
        messages.info(request, line)
        return redirect(next_address(request) or "labeling:mine")
    return work_page(request, stored_answer(request.user, own))


@require_POST
@annotator_required
def revise(request: UserRequest, pk: int) -> HttpResponse:
    """Store a changed answer as a new version; the response carries the task that is held."""
    own = own_assignment(request.user, pk)
    try:
        answer = parse_answer(sent(request, "answer"))
        queue.revise(own, answer, client_key=request.POST.get("client_key", ""))
    except AnswerError as error:
        return notice(request, own.project, status=422, error=str(error))
    except TooLate as error:
        return notice(request, own.project, status=409, error=str(error))
    return stored(after(request, own.project))


@require_POST
@annotator_required
def take_again(request: UserRequest, pk: int) -> HttpResponse:
    """A task that was skipped, leased once more."""
    own = own_assignment(request.user, pk)
    try:
        taken = queue.take_again(own)
    except LeaseLost as error:
        if request.htmx:
            return notice(request, own.project, status=409, error=str(error))
        messages.info(request, str(error))
        return redirect("labeling:mine")
    if not request.htmx:
        return redirect("labeling:assignment", taken.pk)
    return work_page(request, held_task(request.user, taken))
