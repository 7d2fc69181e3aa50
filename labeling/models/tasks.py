"""Tasks: a prompt with the samples to judge, and how many answers are still wanted."""

from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q

from labeling.models.assignments import Assignment, Cursor
from labeling.models.projects import Project, Prompt, Sample


class TaskQuerySet(models.QuerySet["Task"]):
    """Reads of tasks."""

    def waiting(self) -> "TaskQuerySet":
        """Tasks that still want somebody to take them."""
        return self.filter(open__gt=0)

    def waiting_for(self, user: User) -> "TaskQuerySet":
        """Tasks this person holds or could still be given."""
        theirs = Assignment.objects.filter(task=OuterRef("pk"), annotator=user)
        spent = theirs.exclude(state__in=Assignment.OFFERED_AGAIN)
        return self.filter((Q(open__gt=0) & ~Exists(spent)) | Exists(theirs.leased()))


class Task(models.Model):
    """A prompt with samples to judge by `need` people.

    `open` counts the places nobody holds: `need` less the leased and the submitted assignments.
    """

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    samples = models.ManyToManyField(Sample, through="TaskSample", related_name="tasks")
    priority = models.SmallIntegerField(default=0, help_text="Lower comes first.")
    need = models.PositiveSmallIntegerField()
    open = models.PositiveSmallIntegerField()
    created = models.DateTimeField(auto_now_add=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                name="labeling_task_open_within_need", condition=Q(open__gte=0, open__lte=F("need"))
            ),
            models.CheckConstraint(name="labeling_task_need_positive", condition=Q(need__gte=1)),
        ]
        indexes = [
            models.Index(
                fields=["project", "priority", "id"], name="labeling_task_open", condition=Q(open__gt=0)
            )
        ]

    def __str__(self) -> str:
        return f"Task {self.pk}"

    def set_priority(self, priority: int) -> None:
        """Move the task in the queue, ahead of where annotators have got to if need be."""
        with transaction.atomic():
            self.priority = priority
            self.save(update_fields=["priority"])
            Cursor.objects.rewind(self.project, priority=priority)


class TaskSample(models.Model):
    """A sample's place in a task. Not the place it is shown at: that is drawn for each assignment."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="places")
    sample = models.ForeignKey(Sample, on_delete=models.CASCADE, related_name="places")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["task", "position"]
        constraints = [
            models.UniqueConstraint(fields=["task", "sample"], name="labeling_tasksample_sample_once"),
            models.UniqueConstraint(fields=["task", "position"], name="labeling_tasksample_position_once"),
        ]

    def __str__(self) -> str:
        return f"{self.task}, place {self.position}"
