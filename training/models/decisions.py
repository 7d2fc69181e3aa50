"""Decisions about model versions, and the gates that decisions depend on."""

from django.conf import settings
from django.db import models
from django.urls import reverse

from labeling.models import Project
from training.models.runs import Run
from training.models.versions import ModelVersion


class Gate(models.Model):
    """A blind comparison, by people, of a candidate with the version in production."""

    class Outcome(models.TextChoices):
        OPEN = "open", "Being answered"
        MET = "met", "Met: people prefer the candidate"
        REFUSED = "refused", "Not met: people prefer the version in production"
        UNDECIDED = "undecided", "Not met: people see no clear difference"
        WITHDRAWN = "withdrawn", "Withdrawn"

    project = models.ForeignKey(Project, models.CASCADE, related_name="gates")
    candidate = models.ForeignKey(ModelVersion, models.PROTECT, related_name="gates")
    against = models.ForeignKey(ModelVersion, models.PROTECT, related_name="gates_against")
    run = models.ForeignKey(
        Run,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="gates",
        help_text="The run that opened the tasks.",
    )
    max_prompts = models.PositiveIntegerField(
        db_column="most", help_text="After this many compared prompts without a result it is undecided."
    )
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.OPEN)
    evidence = models.JSONField(default=dict, blank=True, help_text="The results when it was closed.")
    opened_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    opened_at = models.DateTimeField(auto_now_add=True)
    closed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="gate_compares_two", condition=~models.Q(candidate=models.F("against"))
            ),
            models.CheckConstraint(
                name="gate_closed_has_a_time",
                condition=models.Q(outcome="open", closed_at__isnull=True)
                | ~models.Q(outcome="open") & models.Q(closed_at__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["project", "candidate", "against"],
                name="gate_open_once",
                condition=models.Q(outcome="open"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.candidate} against {self.against}"

    def get_absolute_url(self) -> str:
        return reverse("training:gate", args=[self.pk])


class Decision(models.Model):
    """One change of a version's stage: who made it, when and why. Rows are append-only."""

    class Action(models.TextChoices):
        PROMOTE = "promote", "Promoted"
        ROLL_BACK = "roll_back", "Rolled back to"
        ARCHIVE = "archive", "Archived"
        RESTORE = "restore", "Taken out of the archive"

    action = models.CharField(max_length=10, choices=Action)
    version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="decisions")
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="decisions")
    replaced = models.ForeignKey(
        ModelVersion,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="replaced_by",
        help_text="The version that was in production before, if that changed.",
    )
    gate = models.ForeignKey(Gate, models.PROTECT, null=True, blank=True, related_name="decisions")
    gate_was_met = models.BooleanField(
        default=True, help_text="False: promoted without a met gate, for the reason given."
    )
    reason = models.TextField(blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.get_action_display()}: {self.version}"
