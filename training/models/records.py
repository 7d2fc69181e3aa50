"""What a run records while it is executed: metrics, log lines and samples."""

from django.db import models

from training.models.runs import Run

EVALUATION_METRICS = ("validation_loss", "heldout/loss", "heldout/kl")
"""Every evaluation during a run records at least one of these metrics."""


class MetricPoint(models.Model):
    """The metrics of one step of a run."""

    # No index of its own: the unique constraint's index begins with the run, and a second one misleads
    # PostgreSQL's planner.
    run = models.ForeignKey(Run, models.CASCADE, related_name="points", db_index=False)
    step = models.PositiveIntegerField()
    values = models.JSONField()

    class Meta:
        db_table = "training_point"
        ordering = ["run", "step"]
        constraints = [
            models.UniqueConstraint(fields=["run", "step"], name="point_once_per_step"),
        ]
        indexes = [
            # Evaluations are few among many steps: this index finds them without reading the others.
            models.Index(
                fields=["run", "step"],
                name="point_of_evaluation",
                condition=models.Q(values__has_any_keys=list(EVALUATION_METRICS)),
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
    attempt = models.PositiveIntegerField(help_text="The attempt that logged it, from 1.")
    level = models.CharField(max_length=7, choices=Level, default=Level.INFO)
    text = models.TextField()
    at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class RunSample(models.Model):
    """A completion of a fixed prompt at one step of a run, to see how the model changes during training."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    position = models.PositiveSmallIntegerField(help_text="The index of the prompt, from 0.")
    prompt = models.TextField(blank=True)
    text = models.TextField(blank=True)
    score = models.FloatField(
        null=True, blank=True, help_text="By the run's reward function or reward model; empty: none."
    )

    class Meta:
        db_table = "training_excerpt"
        ordering = ["run", "position", "step"]
        constraints = [
            models.UniqueConstraint(fields=["run", "step", "position"], name="run_sample_once_per_step"),
        ]

    def __str__(self) -> str:
        return f"{self.run}, step {self.step}, prompt {self.position}"
