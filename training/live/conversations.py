"""Asking two models, asking again after a failure, and comparing their answers."""

import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now

from labeling.control_tasks import entry_test_progress
from labeling.feedback import Answer, AnswerError
from labeling.feedback.answer import UNSTORABLE_CHARACTERS
from labeling.live_comparisons import LiveAnswer as ComparedAnswer
from labeling.live_comparisons import record_live_comparison
from labeling.models import Annotation, Generator, Project
from labeling.queue.limits import reached_limit
from training.live.answering import begin_answer
from training.models import LiveAnswer, LiveConversation, LiveTurn
from training.models.live import POSITIONS

MAX_MESSAGE_CHARACTERS = 8_000
MAX_CONVERSATION_CHARACTERS = 60_000
MAX_TURNS_PER_MINUTE = 10
"""Of one person, in all conversations."""
MAX_UNFINISHED_DAYS = 1
"""Days that a blind conversation is kept without a comparison."""


class LiveError(ValueError):
    """A message that cannot be sent now; says what to do."""


def send_message(
    content: str,
    *,
    to: Sequence[Generator],
    parameters: Mapping[str, Any],
    conversation: LiveConversation | None,
    person: User,
    project: Project,
    **fields: Any,
) -> LiveTurn:
    """Send a message to two models, which begin to answer.

    `conversation` goes on; None starts a new one with these fields. Raises LiveError, storing nothing.
    """
    content = content.replace("\r\n", "\n").strip()
    check_message(content)
    check_rate(person)
    with transaction.atomic():
        if conversation is None:
            conversation = start_conversation(person, project, **fields)
        return ask(conversation, content, to, parameters)


def start_conversation(person: User, project: Project, **fields: Any) -> LiveConversation:
    """A new conversation. Unfinished blind ones of the person that have become old are deleted."""
    old = LiveConversation.objects.filter(
        person=person, is_blind=True, created__lt=Now() - timedelta(days=MAX_UNFINISHED_DAYS)
    )
    old.exclude(turns__task__isnull=False).delete()
    return LiveConversation.objects.create(person=person, project=project, **fields)


def end_conversation(conversation: LiveConversation) -> None:
    """Leave a conversation. A blind one without any comparison is deleted."""
    if conversation.is_blind and not conversation.turns.filter(task__isnull=False).exists():
        conversation.delete()
    else:
        LiveConversation.objects.filter(pk=conversation.pk).update(ended=Now())


def ask(
    conversation: LiveConversation,
    content: str,
    generators: Sequence[Generator],
    parameters: Mapping[str, Any],
) -> LiveTurn:
    """Add a turn to a conversation, inside the caller's transaction. Raises LiveError."""
    # Locked, so that a message sent twice is asked once.
    conversation = LiveConversation.objects.select_for_update(of=("self",)).get(pk=conversation.pk)
    turns = list(conversation.turns.all())
    if not conversation.is_open:
        raise LiveError("Wait until both answers are complete, or start a new conversation.")
    if turns and not conversation.is_chat:
        raise LiveError("A text is continued once: start a new one.")
    turn = LiveTurn.objects.create(
        conversation=conversation, number=len(turns) + 1, content=content, parameters=dict(parameters)
    )
    if any(
        sum(len(each["content"]) for each in turn.messages(position)) > MAX_CONVERSATION_CHARACTERS
        for position in POSITIONS
    ):
        raise LiveError("This conversation has become too long: start a new one.")
    for position, generator in zip(POSITIONS, generators, strict=True):
        begin_answer(LiveAnswer.objects.create(turn=turn, position=position, generator=generator))
    return turn


def blind_parameters(project: Project) -> dict[str, Any]:
    """How answers of live comparisons are sampled; the extra parameters of an endpoint replace them."""
    return {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": project.live_max_tokens}


def draw_pair(generators: Sequence[Generator]) -> list[Generator]:
    """Two of the models at random, in random order."""
    return random.sample(list(generators), 2)


def ask_again(answer: LiveAnswer) -> bool:
    """Let a model answer again whose answer failed; False if it did not fail, or is being written again."""
    with transaction.atomic():
        failed = LiveAnswer.objects.filter(pk=answer.pk, status=LiveAnswer.Status.FAILED)
        attempt = answer.attempt + 1
        if not failed.filter(attempt=answer.attempt).update(
            status=LiveAnswer.Status.WRITING, attempt=attempt, text="", error="", started=Now(), updated=Now()
        ):
            return False
        begin_answer(LiveAnswer.objects.get(pk=answer.pk))
    return True


def check_message(content: str) -> None:
    """Raise LiveError for a message that cannot be sent."""
    if not content:
        raise LiveError("Write a message first.")
    if len(content) > MAX_MESSAGE_CHARACTERS:
        raise LiveError(
            f"This message has {len(content):,} characters; at most {MAX_MESSAGE_CHARACTERS:,} are allowed. "
            "Shorten it."
        )
    if UNSTORABLE_CHARACTERS.search(content):
        raise LiveError("This message has characters that are no text: remove them.")


def check_rate(person: User) -> None:
    """Raise LiveError if a person has sent too many messages within a minute."""
    latest = LiveTurn.objects.filter(conversation__person=person, created__gt=Now() - timedelta(minutes=1))
    if latest.count() >= MAX_TURNS_PER_MINUTE:
        raise LiveError(f"At most {MAX_TURNS_PER_MINUTE} messages a minute can be sent: wait a moment.")


# -- Live comparisons -------------------------------------------------------------------------------------


def refusal(person: User, project: Project) -> str:
    """Why a person cannot compare models live in this project now; empty if they can.

    "training": training tasks come first; "person" or "day": they reached this limit.
    """
    if not entry_test_progress(annotator=person, project=project).passed:
        return "training"
    return reached_limit(annotator=person, project=project)


def compare(turn: LiveTurn, answer: Answer, *, client_key: str) -> Annotation:
    """Store a person's comparison of the two answers to a turn as a task with an annotation.

    Idempotent: a turn is compared once, and asking again returns what is stored. Raises AnswerError, and
    nothing is stored then.
    """
    with transaction.atomic():
        turn = LiveTurn.objects.select_for_update(of=("self",)).get(pk=turn.pk)
        if turn.task is not None:
            return Annotation.objects.filter(assignment__task=turn.task).earliest("pk")
        if not turn.is_complete:
            raise AnswerError("both answers must be complete before they are compared.")
        conversation = turn.conversation
        annotation = record_live_comparison(
            project=conversation.project,
            annotator=conversation.person,
            messages=turn.messages(0),
            answers=[
                ComparedAnswer(each.generator, each.text, turn.parameters)
                for each in turn.answers.select_related("generator")
            ],
            answer=answer,
            client_key=client_key,
        )
        turn.task = annotation.assignment.task
        turn.preferred = preferred_position(answer)
        turn.save(update_fields=["task", "preferred"])
    return annotation


def preferred_position(answer: Answer) -> int | None:
    """The position of the answer with which a conversation goes on: the better one, of equals one at random;
    None if both are bad."""
    if answer.all_bad or answer.grade is None:
        return None
    if answer.grade == 0:
        return random.choice(POSITIONS)
    return 0 if answer.grade < 0 else 1
