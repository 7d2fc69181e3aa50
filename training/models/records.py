"""What a run tells of itself as it goes on: metrics, log lines, and what its model writes."""

from django.db import models

from training.models.runs import Run

EVALUATED = ("validation_loss", "heldout/loss", "heldout/kl")
"""Metrics of which one is there wherever a run was evaluated, whatever its kind."""


class Point(models.Model):
    """The metrics of one step of a run."""

    # The constraint's index begins with the run: a second one would only lead the planner astray.
    run = models.ForeignKey(Run, models.CASCADE, related_name="points", db_index=False)
    step = models.PositiveIntegerField()
    values = models.JSONField()

    class Meta:
        ordering = ["run", "step"]
        constraints = [
            models.UniqueConstraint(fields=["run", "step"], name="point_once_per_step"),
        ]
        indexes = [
            # Evaluations are few among many steps: a page finds them without reading the others.
            models.Index(
                fields=["run", "step"],
                name="point_of_evaluation",
                condition=models.Q(values__has_any_keys=list(EVALUATED)),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run}, step {self.step}"


class LogLine(models.Model):
    """One line of a run's log."""

    class Level(models.TextChoices):
        INFO = "info"
        WARNING = "warning"
        ERROR = "error"

    run = models.ForeignKey(Run, models.CASCADE, related_name="log")
    attempt = models.PositiveIntegerField(help_text="Which attempt said it, from 1.")
    level = models.CharField(max_length=7, choices=Level, default=Level.INFO)
    text = models.TextField()
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class Excerpt(models.Model):
    """What the model of a run wrote at one step to a prompt that stays the same: it is seen to change."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="excerpts")
    step = models.PositiveIntegerField()
    position = models.PositiveSmallIntegerField(help_text="Which of the prompts, from 0.")
    prompt = models.TextField(blank=True)
    text = models.TextField(blank=True)
    score = models.FloatField(null=True, blank=True, help_text="By whoever judges the run; empty: nobody.")

    class Meta:
        ordering = ["run", "position", "step"]
        constraints = [
            models.UniqueConstraint(fields=["run", "step", "position"], name="excerpt_once_per_step"),
        ]

    def __str__(self) -> str:
        return f"{self.run}, step {self.step}, prompt {self.position}"
