"""Tasks: a prompt with samples to judge, and how many annotations it still needs."""

from collections.abc import Iterable
from hashlib import sha256
from uuid import UUID

from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q

from labeling.models.assignments import Assignment, Cursor
from labeling.models.projects import Project, Prompt, Sample

COUNT_STEPS = (1, *(digit * 10**power for power in (1, 2, 3) for digit in (1, 2, 5)), 10_000)
MAX_COUNT = COUNT_STEPS[-1]
"""Waiting tasks are counted up to this number."""


def content_of(texts: Iterable[str]) -> UUID:
    """A hash of the texts of a task's samples, whatever their order.

    Migration 0013 computes the same in the database.
    """
    hashes = sorted(sha256(text.encode()).hexdigest() for text in texts)
    return UUID(sha256("".join(hashes).encode()).hexdigest()[:32])


class TaskQuerySet(models.QuerySet["Task"]):
    """Reads of tasks."""

    def ordinary(self) -> "TaskQuerySet":
        """Ordinary tasks, not gold, training tasks and repeats: reward models learn from these."""
        return self.filter(kind=Task.Kind.ORDINARY)

    def waiting(self) -> "TaskQuerySet":
        """Ordinary tasks with open slots."""
        return self.ordinary().filter(open__gt=0)

    def waiting_for(self, user: User) -> "TaskQuerySet":
        """Ordinary tasks that this person holds or could still get."""
        theirs = Assignment.objects.filter(task=OuterRef("pk"), annotator=user)
        spent = theirs.exclude(state__in=Assignment.REASSIGNABLE_STATES)
        known = Assignment.objects.filter(task__origin=OuterRef("pk"), annotator=user)
        free = Q(open__gt=0) & ~Exists(spent) & ~Exists(known)
        return self.ordinary().filter(free | Exists(theirs.leased()))

    def approximate_waiting_count(self, user: User) -> int:
        """How many tasks this person holds or could still get, rounded down to 0, 1, 10, 20, 50, 100 …

        An exact number would reveal gold and repeats: it does not decrease when they are answered.
        """
        waiting = self.waiting_for(user)[:MAX_COUNT].count()
        return max((step for step in COUNT_STEPS if step <= waiting), default=0)


class Task(models.Model):
    """A prompt with samples to be judged by `need` people.

    `open` counts the open slots: `need` minus the leased and submitted assignments.
    """

    class Kind(models.TextChoices):
        ORDINARY = "ordinary", "Ordinary"
        GOLD = "gold", "Gold: the answer is known; not marked"
        TRAINING = "training", "Training: the answer is known and shown after submission"
        REPEAT = "repeat", "Repeat: the same task again for the same person"

    class Choice(models.TextChoices):
        """How a task was chosen."""

        RANDOM = "random", "At random"
        DISAGREEMENT = "disagreement", "Ensemble members disagree"
        CLOSENESS = "closeness", "Rewards are close"
        LIVE = "live", "Live comparison"  # the annotator wrote the prompt

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tasks")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="tasks")
    samples = models.ManyToManyField(Sample, through="TaskSample", related_name="tasks")
    priority = models.SmallIntegerField(default=0, help_text="Lower comes first.")
    need = models.PositiveSmallIntegerField()
    open = models.PositiveSmallIntegerField()
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.ORDINARY)
    origin = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="copies",
        help_text="The task that this is a copy of.",
    )
    choice = models.CharField(
        max_length=12,
        choices=Choice,
        default=Choice.RANDOM,
        help_text="Preference statistics are unbiased on randomly chosen tasks.",
    )
    usefulness = models.FloatField(
        null=True, blank=True, help_text="The acquisition score by which it was prioritised."
    )
    content = models.UUIDField(
        null=True,
        blank=True,
        editable=False,
        help_text="Ordinary tasks: what the samples are, as in content_of(), so that imports find it.",
    )
    created = models.DateTimeField(auto_now_add=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                name="labeling_task_open_within_need", condition=Q(open__gte=0, open__lte=F("need"))
            ),
            models.CheckConstraint(name="labeling_task_need_positive", condition=Q(need__gte=1)),
            models.CheckConstraint(
                name="labeling_task_copies_have_an_origin",
                condition=Q(kind="ordinary", origin__isnull=True)
                | Q(kind__in=["gold", "training", "repeat"], origin__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["origin", "kind"],
                condition=Q(kind__in=["gold", "training"]),
                name="labeling_task_one_gold_an_origin",
            ),
        ]
        indexes = [
            models.Index(
                fields=["prompt", "content"],
                name="labeling_task_content",
                condition=Q(content__isnull=False),
            ),
            models.Index(
                fields=["project", "priority", "id"],
                name="labeling_task_waiting",
                condition=Q(open__gt=0, kind="ordinary"),
            ),
            models.Index(
                fields=["project", "kind"], name="labeling_task_checks", condition=~Q(kind="ordinary")
            ),
        ]

    def __str__(self) -> str:
        return f"Task {self.pk}"

    def set_priority(self, priority: int) -> None:
        """Set the task's priority and move back the cursors that are past it."""
        with transaction.atomic():
            self.priority = priority
            self.save(update_fields=["priority"])
            Cursor.objects.rewind(self.project, priority=priority)


class Gold(models.Model):
    """The known answer to a gold or training task."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, primary_key=True, related_name="gold")
    answer = models.JSONField(help_text="An answer, in the order of the task's own positions.")
    explanation = models.TextField(blank=True, help_text="Markdown, shown after a training task.")
    author = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "gold"

    def __str__(self) -> str:
        return f"Known answer to {self.task}"


class TaskSample(models.Model):
    """A sample's position in a task. The order in which it is shown is random for each assignment."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="task_samples")
    sample = models.ForeignKey(Sample, on_delete=models.CASCADE, related_name="task_samples")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["task", "position"]
        constraints = [
            models.UniqueConstraint(fields=["task", "sample"], name="labeling_tasksample_sample_once"),
            models.UniqueConstraint(fields=["task", "position"], name="labeling_tasksample_position_once"),
        ]

    def __str__(self) -> str:
        return f"{self.task}, sample {self.position}"
