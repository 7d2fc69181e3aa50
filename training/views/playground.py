"""The playground: an admin writes to two models by name, whose answers appear side by side."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import push_url

from labeling.access import UserRequest, allowed_project, login_required
from labeling.models import Project
from labeling.views.rendered_text import render_text
from training.forms.playground import LiveSettingsForm, PlaygroundForm
from training.live import conversations
from training.live.conversations import LiveError
from training.live.participants import is_server_missing, live_participants, participants
from training.models import LiveAnswer, LiveConversation, LiveTurn

START = "training.add_run"

# /projects/<slug>/playground/


@require_http_methods(["GET", "POST"])
@login_required
@never_cache
def playground(request: UserRequest, slug: str) -> HttpResponse:
    """Choose two models and write to them; POST sends a message. `?conversation=` is one of the person's."""
    project = allowed_project(request.user, slug, START)
    models = participants(request.user, project)
    if request.method == "POST":
        return send(request, project, PlaygroundForm(request.POST, models=models))
    conversation = own_conversation(request, project, request.GET.get("conversation", ""))
    shown = conversation_context(project, conversation)
    if request.htmx:
        return render(request, "training/playground/_conversation.html", {"project": project, **shown})
    context = {
        "project": project,
        "form": PlaygroundForm(models=models, initial=last_choices(conversation)),
        "models": models,
        "is_server_missing": is_server_missing(models),
        "serve_url": settings.SERVE_URL,
        "live_form": LiveSettingsForm(project=project, models=models),
        "live_models": len(live_participants(project)),
        "compares_pairs": project.feedback == Project.FeedbackKind.PAIR,
        **shown,
    }
    return render(request, "training/playground/playground.html", context)


def send(request: UserRequest, project: Project, form: PlaygroundForm) -> HttpResponse:
    """Send a message in the conversation given, or in a new one."""
    conversation = own_conversation(request, project, request.POST.get("conversation", ""))
    message = request.POST.get("message", "")
    problem = ""
    if form.is_valid():
        is_chat = form.cleaned_data["is_chat"]
        try:
            turn = conversations.send_message(
                message,
                to=form.generators,
                parameters=form.parameters,
                conversation=conversation,
                person=request.user,
                project=project,
                is_blind=False,
                is_chat=is_chat,
                system=form.cleaned_data["system"] if is_chat else "",
            )
            conversation, message = turn.conversation, ""
        except LiveError as error:
            problem = str(error)
    else:
        errors = [f"{form[name].label}: {error}" for name, found in form.errors.items() for error in found]
        problem = " ".join(errors)
    context = {
        "project": project,
        "message": message,
        "problem": problem,
        **conversation_context(project, conversation),
    }
    status = 422 if problem else 200
    response = render(request, "training/playground/_conversation.html", context, status=status)
    if conversation is not None and not problem:
        address = reverse("training:playground", args=[project.slug])
        push_url(response, f"{address}?conversation={conversation.pk}")
    return response


@require_POST
@login_required
def live_settings(request: UserRequest, slug: str) -> HttpResponse:
    """Store whether annotators may compare models live, and which ones."""
    project = allowed_project(request.user, slug, START, "labeling.change_project")
    form = LiveSettingsForm(request.POST, project=project, models=participants(request.user, project))
    if form.is_valid():
        form.save()
        messages.success(request, "Saved.")
    else:
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    return redirect(f"{reverse('training:playground', args=[slug])}#live")


# /playground/turns/<pk>/, /playground/answers/<pk>/


@require_GET
@login_required
@never_cache
def playground_turn(request: UserRequest, pk: int) -> HttpResponse:
    """One message with its two answers, polled while they are written."""
    turns = LiveTurn.objects.select_related("conversation__project")
    turn = get_object_or_404(turns, pk=pk, conversation__person=request.user, conversation__is_blind=False)
    project = allowed_project(request.user, turn.conversation.project.slug, START)
    return render(request, "training/playground/_turn.html", {"turn": turn_context(project, turn)})


@require_POST
@login_required
def playground_retry(request: UserRequest, pk: int) -> HttpResponse:
    """Ask a model again whose answer failed."""
    found = LiveAnswer.objects.select_related("turn__conversation__project")
    own = {"turn__conversation__person": request.user, "turn__conversation__is_blind": False}
    answer = get_object_or_404(found, pk=pk, **own)
    project = allowed_project(request.user, answer.turn.conversation.project.slug, START)
    conversations.ask_again(answer)
    turn = LiveTurn.objects.get(pk=answer.turn_id)
    return render(request, "training/playground/_turn.html", {"turn": turn_context(project, turn)})


# -- Contexts ---------------------------------------------------------------------------------------------


def own_conversation(request: UserRequest, project: Project, pk: str) -> LiveConversation | None:
    """A conversation of the person's own in the playground; None for none, 404 for another's."""
    if not pk:
        return None
    own = LiveConversation.objects.filter(person=request.user, project=project, is_blind=False)
    return get_object_or_404(own, pk=pk if pk.isdecimal() else 0)


def last_choices(conversation: LiveConversation | None) -> dict[str, Any]:
    """What the form had when the last message was sent."""
    turn = conversation.turns.last() if conversation else None
    if conversation is None or turn is None:
        return {}
    first, second = (str(answer.generator_id) for answer in turn.answers.all())
    return {
        "first": first,
        "second": second,
        "is_chat": "yes" if conversation.is_chat else "no",
        "system": conversation.system,
        **turn.parameters,
    }


def conversation_context(project: Project, conversation: LiveConversation | None) -> dict[str, Any]:
    """The turns of a conversation."""
    turns = conversation.turns.all() if conversation else []
    return {
        "conversation": conversation,
        "turns": [turn_context(project, turn) for turn in turns],
        "can_continue": conversation is None or conversation.is_chat or not turns,
    }


def turn_context(project: Project, turn: LiveTurn) -> dict[str, Any]:
    """One message with its two answers."""
    LiveAnswer.objects.filter(turn=turn).fail_stalled()
    answers = list(turn.answers.select_related("generator"))
    return {
        "pk": turn.pk,
        "content": render_text(turn.content, project),
        "is_running": any(answer.is_running for answer in answers),
        "answers": [{"row": answer, "shown": render_text(answer.text, project)} for answer in answers],
    }
