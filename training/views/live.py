"""Live comparisons: an annotator writes to two models, who are not named, and compares their answers.

Nothing on the page or in its payload tells which models answer: answers are known by their position alone.
"""

from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import reswap, retarget

from labeling.access import UserRequest, active_project, annotator_required
from labeling.feedback import AnswerError, parse_answer
from labeling.models import Project, Prompt
from labeling.views.rendered_text import render_prompt, render_text
from labeling.views.task_page import (
    error_response,
    json_field,
    render_work_page,
    task_context,
    with_stored_event,
)
from labeling.workspace.answer_text import summarize_answer
from labeling.workspace.keyboard_shortcuts import key_labels, keys_for
from training.formats.messages import Message, completion_text, render_messages
from training.live import conversations
from training.live.conversations import LiveError
from training.live.participants import answering_participants, live_participants
from training.models import LiveAnswer, LiveConversation, LiveTurn

BLIND_ERROR = "This model could not answer. Try again, or start a new conversation."
"""What is shown of a failure: its reason could name the model."""

# /projects/<slug>/live/


@require_http_methods(["GET", "POST"])
@annotator_required
@never_cache
def live(request: UserRequest, slug: str) -> HttpResponse:
    """The conversation where the person left it; POST sends a message to two models."""
    project = live_project(request, slug)
    conversation = latest_conversation(request, project)
    if request.method == "GET":
        return render_work_page(request, conversation_context(request, project, conversation))
    unavailable = unavailable_context(request, project)
    if unavailable is not None:
        return render_work_page(request, unavailable)
    message = request.POST.get("message", "")
    asked = [each.generator for each in answering_participants(project)]
    try:
        turn = conversations.send_message(
            message,
            to=conversations.draw_pair(asked),
            parameters=conversations.blind_parameters(project),
            conversation=conversation,
            person=request.user,
            project=project,
            is_blind=True,
        )
    except LiveError as error:
        content = ask_context(request, project, conversation) | {"message": message, "problem": str(error)}
        return render_work_page(request, content, status=422)
    return render_work_page(request, turn_context(request, turn))


@require_POST
@annotator_required
def new_live(request: UserRequest, slug: str) -> HttpResponse:
    """Leave the conversation; the response asks for the first message of a new one."""
    project = live_project(request, slug)
    conversation = latest_conversation(request, project)
    if conversation is not None:
        conversations.end_conversation(conversation)
    return render_work_page(request, conversation_context(request, project, None))


# /live/turns/<pk>/, /live/answers/<pk>/


@require_GET
@annotator_required
@never_cache
def live_turn(request: UserRequest, pk: int) -> HttpResponse:
    """The answers as far as they are written, polled by the page; once both are complete, the comparison."""
    turn = own_turn(request, pk)
    content = turn_context(request, turn)
    if content["content_template"] == "training/live/answers.html" and content["is_running"]:
        return render(request, "training/live/_answers.html", content)
    return retarget(reswap(render_work_page(request, content), "innerHTML"), "#work")


@require_POST
@annotator_required
def retry_answer(request: UserRequest, pk: int) -> HttpResponse:
    """Ask a model again whose answer failed."""
    answers = LiveAnswer.objects.select_related("turn__conversation__project")
    answer = get_object_or_404(answers, pk=pk, turn__conversation__person=request.user)
    turn = own_turn(request, answer.turn_id)
    conversations.ask_again(answer)
    return render_work_page(request, turn_context(request, turn))


@require_POST
@annotator_required
def vote(request: UserRequest, pk: int) -> HttpResponse:
    """Store the comparison of the two answers; the response goes on with the conversation."""
    turn = own_turn(request, pk)
    project = turn.conversation.project
    try:
        answer = parse_answer(json_field(request, "answer"))
        annotation = conversations.compare(turn, answer, client_key=request.POST.get("client_key", ""))
    except AnswerError as error:
        return error_response(request, project, status=422, error=str(error))
    conversation = turn.conversation
    if LiveTurn.objects.get(pk=turn.pk).preferred is None:
        conversations.end_conversation(conversation)
    content = conversation_context(request, project, latest_conversation(request, project))
    saved = summarize_answer(annotation.answer)
    return with_stored_event(render_work_page(request, content | {"saved": saved}))


# -- What is whose ----------------------------------------------------------------------------------------


def live_project(request: UserRequest, slug: str) -> Project:
    """A project in which the person may compare models live, or 404."""
    project = active_project(request.user, slug)
    if not project.has_live_comparisons:
        raise Http404
    return project


def own_turn(request: UserRequest, pk: int) -> LiveTurn:
    """A turn of a live comparison of the person's own, or 404."""
    turns = LiveTurn.objects.select_related("conversation__project", "conversation__person")
    turn = get_object_or_404(turns, pk=pk, conversation__person=request.user, conversation__is_blind=True)
    live_project(request, turn.conversation.project.slug)
    return turn


def latest_conversation(request: UserRequest, project: Project) -> LiveConversation | None:
    """The conversation that the person has not left."""
    own = LiveConversation.objects.filter(person=request.user, project=project, is_blind=True)
    return own.filter(ended=None).order_by("-pk").first()


# -- Contexts ---------------------------------------------------------------------------------------------


def conversation_context(
    request: UserRequest, project: Project, conversation: LiveConversation | None
) -> dict[str, Any]:
    """The last turn if its answers are not compared yet, else the field for the next message."""
    last = conversation.turns.last() if conversation else None
    if last is not None and last.task_id is None:
        return turn_context(request, last)
    return unavailable_context(request, project) or ask_context(request, project, conversation)


def unavailable_context(request: UserRequest, project: Project) -> dict[str, Any] | None:
    """Why no message can be sent now; None if one can."""
    reason = conversations.refusal(request.user, project)
    if not reason and len(answering_participants(project)) < 2:
        reason = "server" if len(live_participants(project)) > 1 else "models"
    if not reason:
        return None
    return base_context(request, project) | {
        "content_template": "training/live/unavailable.html",
        "reason": reason,
        "may_start": request.user.has_perm("training.add_run", project),
        "serve_url": settings.SERVE_URL,
    }


def ask_context(
    request: UserRequest, project: Project, conversation: LiveConversation | None
) -> dict[str, Any]:
    """The conversation so far, and the field for the next message."""
    messages = conversation.messages() if conversation else []
    return base_context(request, project) | {
        "content_template": "training/live/ask.html",
        "prompt": render_prompt(as_prompt(messages), project),
    }


def turn_context(request: UserRequest, turn: LiveTurn) -> dict[str, Any]:
    """The answers while they are written or have failed, and the comparison once both are complete."""
    LiveAnswer.objects.filter(turn=turn).fail_stalled()
    project = turn.conversation.project
    answers = list(turn.answers.all())
    messages = turn.messages(0)
    base = base_context(request, project)
    if all(answer.status == LiveAnswer.Status.DONE for answer in answers):
        task = task_context(
            project=project,
            prompt=as_prompt(messages),
            samples=[completion_text(answer.text) for answer in answers],
            user=request.user,
            task_key=f"live:{turn.pk}",
            submit_url=reverse("training:vote", args=[turn.pk]),
        )
        announcement = "Both answers are complete. Compare them."
        return base | task | {"content_template": "labeling/task.html", "announcement": announcement}
    return base | {
        "content_template": "training/live/answers.html",
        "turn": turn,
        "earlier": render_prompt(as_prompt(messages[:-1]), project),
        "prompt": render_prompt(as_prompt(messages[-1:]), project),
        "is_running": any(answer.is_running for answer in answers),
        "answers": [
            {
                "pk": answer.pk,
                "is_running": answer.is_running,
                "error": BLIND_ERROR if answer.error else "",
                "shown": render_text(answer.text, project),
            }
            for answer in answers
        ],
    }


def as_prompt(messages: list[Message]) -> Prompt:
    """Messages as a prompt that is not stored."""
    return Prompt(text=render_messages(messages), messages=messages)


def base_context(request: UserRequest, project: Project) -> dict[str, Any]:
    """What every state of the page has."""
    return {
        "page_template": "training/live/live.html",
        "page_url": reverse("training:live", args=[project.slug]),
        "project": project,
        "keys": key_labels(keys_for(request.user)),
        "previous_answer_url": "",
    }
