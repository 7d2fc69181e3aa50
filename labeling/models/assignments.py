"""Assignments: one person's lease on a task, and its outcome."""

from django.contrib.auth.models import User
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from labeling.models.projects import Project, Sample

MIN_PRIORITY = -32_768


class CursorManager(models.Manager["Cursor"]):
    """Writes of cursors outside the claim itself."""

    def rewind(self, project: Project, *, priority: int) -> None:
        """Move cursors back to this priority, so that annotators who are past it find its tasks."""
        self.filter(project=project, priority__gt=priority).update(priority=priority, after=0)


class Cursor(models.Model):
    """One annotator's position in a project's queue.

    Claims start after it instead of scanning everything the annotator has answered, and wrap around at the
    end. Locking the row serialises claims of one annotator's tabs.
    """

    annotator = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    priority = models.SmallIntegerField(default=MIN_PRIORITY)
    after = models.BigIntegerField(default=0, help_text="The id of the last claimed task.")
    qualified = models.DateTimeField(
        null=True, blank=True, help_text="When the entry test was passed; empty: not passed, or none."
    )

    objects = CursorManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["annotator", "project"], name="labeling_cursor_once_a_project")
        ]

    def __str__(self) -> str:
        return f"{self.annotator} in {self.project}: ({self.priority}, {self.after})"


class AssignmentQuerySet(models.QuerySet["Assignment"]):
    """Reads of assignments."""

    def leased(self) -> "AssignmentQuerySet":
        """Assignments that are held now."""
        return self.filter(state=Assignment.State.LEASED)

    def submitted(self) -> "AssignmentQuerySet":
        """Assignments with an answer."""
        return self.filter(state=Assignment.State.SUBMITTED)

    def counting_toward_limits(self) -> "AssignmentQuerySet":
        """Answers that count for limits and goals: all except those to training tasks."""
        return self.submitted().exclude(task__kind="training")


class Assignment(models.Model):
    """One person's assignment to a task. Only `labeling.queue` changes its state."""

    class State(models.TextChoices):
        LEASED = "leased", "Leased"
        SUBMITTED = "submitted", "Submitted"
        SKIPPED = "skipped", "Skipped"
        EXPIRED = "expired", "Expired"  # the lease ran out and the slot was reopened
        RELEASED = "released", "Released"  # released unanswered

    REASSIGNABLE_STATES = (State.EXPIRED, State.RELEASED)
    """States after which the same person may be given the task again."""

    task = models.ForeignKey("labeling.Task", on_delete=models.CASCADE, related_name="assignments")
    # Equal to the task's project, for the constraint of one lease per person and project.
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="assignments")
    annotator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="assignments")
    state = models.CharField(max_length=10, choices=State, default=State.LEASED)
    shown_order = ArrayField(models.BigIntegerField(), help_text="Sample ids in the random order shown.")
    lease_until = models.DateTimeField()
    claimed = models.DateTimeField()
    finished = models.DateTimeField(null=True, blank=True, help_text="Empty while leased.")
    skip_reason = models.CharField(max_length=200, blank=True)
    draft = models.JSONField(
        null=True, blank=True, help_text="The unfinished answer, as saved by the page; removed on submission."
    )

    objects = AssignmentQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["task", "annotator"], name="labeling_assignment_task_once"),
            models.UniqueConstraint(
                fields=["annotator", "project"],
                condition=Q(state="leased"),
                name="labeling_assignment_one_lease",
            ),
            models.CheckConstraint(
                name="labeling_assignment_finished_unless_leased",
                condition=Q(state="leased", finished__isnull=True)
                | Q(state__in=["submitted", "skipped", "expired", "released"], finished__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["lease_until"], name="labeling_assignment_lapse", condition=Q(state="leased")
            ),
            models.Index(fields=["annotator", "project", "finished"], name="labeling_assignment_finished"),
            models.Index(
                fields=["annotator", "project", "finished"],
                name="labeling_assignment_lost",
                condition=Q(state__in=["expired", "released"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task} for {self.annotator}"

    @property
    def is_leased(self) -> bool:
        """Whether the annotator holds the task now."""
        return self.state == self.State.LEASED

    def shown_samples(self) -> list[Sample]:
        """The samples in the order shown to this annotator."""
        by_id = Sample.objects.in_bulk(self.shown_order)
        return [by_id[key] for key in self.shown_order]
