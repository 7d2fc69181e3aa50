"""Conversations that a person holds with two models at once: in the playground, or blindly."""

from datetime import timedelta
from typing import Any, Self

from django.contrib.auth.models import User
from django.db import models
from django.db.models.functions import Now

from labeling.models import Generator, Project, Task
from training.formats.messages import Message

POSITIONS = (0, 1)
STALLED_SECONDS = 30
"""Seconds without a sign of life after which the process that was writing an answer counts as dead."""


class LiveConversation(models.Model):
    """One person's conversation with two models, in one project."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="live_conversations")
    person = models.ForeignKey(User, models.CASCADE, related_name="+")
    is_blind = models.BooleanField(help_text="A live comparison: who answers is drawn for each turn.")
    is_chat = models.BooleanField(default=True, help_text="Otherwise a single text that models continue.")
    system = models.TextField(blank=True, help_text="The system message; empty for none.")
    created = models.DateTimeField(auto_now_add=True)
    ended = models.DateTimeField(null=True, help_text="When the person left it; empty: it goes on.")

    def __str__(self) -> str:
        return f"Conversation {self.pk}"

    def messages(self, position: int = 0, *, before: int | None = None) -> list[Message]:
        """The conversation as the model at a position reads it, up to the turn of the number `before`.

        In a blind conversation both read the preferred answers of earlier turns, else each its own.
        """
        messages: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        turns = self.turns.prefetch_related("answers")
        for turn in turns if before is None else turns.filter(number__lt=before):
            side = position if turn.preferred is None else turn.preferred
            reply = next(answer.text for answer in turn.answers.all() if answer.position == side)
            messages.append({"role": "user", "content": turn.content})
            messages.append({"role": "assistant", "content": reply})
        return messages

    @property
    def is_open(self) -> bool:
        """Whether it can go on: no answer is being written or has failed, and every comparison is made."""
        last = self.turns.last()
        return last is None or (last.is_complete and (not self.is_blind or last.preferred is not None))


class LiveTurn(models.Model):
    """What the person wrote, and the two answers to it."""

    conversation = models.ForeignKey(LiveConversation, models.CASCADE, related_name="turns")
    number = models.PositiveSmallIntegerField()
    content = models.TextField()
    parameters = models.JSONField(default=dict, help_text="Sampling parameters.")
    preferred = models.PositiveSmallIntegerField(
        null=True, help_text="Blind: the position of the answer with which the conversation goes on."
    )
    task = models.OneToOneField(
        Task,
        models.CASCADE,
        null=True,
        related_name="live_turn",
        help_text="Blind: the task that it became once the person had compared the answers.",
    )
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "number"], name="live_turn_number_once"),
        ]

    def __str__(self) -> str:
        return f"Turn {self.number} of {self.conversation}"

    @property
    def is_complete(self) -> bool:
        """Whether both answers are there."""
        return all(answer.status == LiveAnswer.Status.DONE for answer in self.answers.all())

    @property
    def is_running(self) -> bool:
        """Whether an answer is being written."""
        return any(answer.is_running for answer in self.answers.all())

    def messages(self, position: int) -> list[Message]:
        """The conversation up to what the person wrote in this turn, as the model at a position reads it."""
        before = self.conversation.messages(position, before=self.number)
        return [*before, {"role": "user", "content": self.content}]


class LiveAnswerQuerySet(models.QuerySet["LiveAnswer"]):
    """Reads and writes of answers."""

    def running(self) -> Self:
        """Answers that are being written."""
        return self.filter(status=LiveAnswer.Status.WRITING)

    def fail_stalled(self) -> int:
        """Mark answers as failed whose process has died; returns how many."""
        stalled = self.running().filter(updated__lt=Now() - timedelta(seconds=STALLED_SECONDS))
        return stalled.update(status=LiveAnswer.Status.FAILED, error="It was interrupted: try again.")


class LiveAnswer(models.Model):
    """One model's answer to a turn, while it is written and afterwards."""

    class Status(models.TextChoices):
        WRITING = "writing"
        DONE = "done"
        FAILED = "failed"

    turn = models.ForeignKey(LiveTurn, models.CASCADE, related_name="answers")
    position = models.PositiveSmallIntegerField(help_text="0: shown first, 1: shown second.")
    generator = models.ForeignKey(Generator, models.PROTECT, related_name="+")
    status = models.CharField(max_length=10, choices=Status, default=Status.WRITING)
    attempt = models.PositiveSmallIntegerField(default=1)
    text = models.TextField(blank=True, help_text="The content of the assistant's message.")
    error = models.TextField(blank=True, help_text="Why it failed.")
    started = models.DateTimeField(db_default=Now())
    updated = models.DateTimeField(db_default=Now(), help_text="The last sign of life while it is written.")

    objects = LiveAnswerQuerySet.as_manager()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "position"], name="live_answer_position_once"),
            models.CheckConstraint(
                name="live_answer_position_known", condition=models.Q(position__in=POSITIONS)
            ),
        ]

    def __str__(self) -> str:
        return f"Answer {self.position + 1} to {self.turn}"

    @property
    def is_running(self) -> bool:
        """Whether it is being written."""
        return self.status == self.Status.WRITING

    @property
    def seconds(self) -> float:
        """How long it took, or has been taking."""
        return (self.updated - self.started).total_seconds()

    def write(self, **changes: Any) -> bool:
        """Store what this attempt has written so far; False once it has ended, or another one has begun."""
        running = LiveAnswer.objects.running().filter(pk=self.pk, attempt=self.attempt)
        return bool(running.update(updated=Now(), **changes))
