"""Rounds: a reward model trained on people's annotations, and a candidate tuned against it."""

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models

from labeling.models import Project
from training.models.runs import Run


class Automation(models.Model):
    """Whether a project's rounds start automatically, and when. Without a row they do not."""

    project = models.OneToOneField(Project, models.CASCADE, primary_key=True, related_name="automation")
    is_on = models.BooleanField(default=False)
    every = models.PositiveIntegerField(
        default=1000,
        validators=[MinValueValidator(1)],
        help_text="Start a round after this many new comparisons since the last reward model.",
    )
    train_reward = models.JSONField(
        default=dict, blank=True, help_text="Options that differ from the defaults."
    )
    finetune = models.JSONField(default=dict, blank=True, help_text="Options that differ from the defaults.")
    changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"Automatic rounds of {self.project}"


class Round(models.Model):
    """One round: its two runs, how it started and how it ended."""

    class Outcome(models.TextChoices):
        IN_PROGRESS = "going", "In progress"
        DONE = "done", "Done"
        STOPPED = "stopped", "Stopped"

    project = models.ForeignKey(Project, models.CASCADE, related_name="rounds")
    number = models.PositiveIntegerField()
    is_automatic = models.BooleanField(default=False)
    comparisons = models.PositiveIntegerField(help_text="Comparisons available when it started.")
    train_reward = models.OneToOneField(
        Run, models.SET_NULL, null=True, blank=True, related_name="round_of_reward"
    )
    finetune = models.OneToOneField(
        Run, models.SET_NULL, null=True, blank=True, related_name="round_of_policy"
    )
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.IN_PROGRESS)
    message = models.TextField(blank=True, help_text="Why it stopped.")
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    started_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="round_number_once_a_project"),
            models.UniqueConstraint(
                fields=["project"], name="round_one_at_a_time", condition=models.Q(outcome="going")
            ),
        ]

    def __str__(self) -> str:
        return f"Round {self.number} of {self.project}"
