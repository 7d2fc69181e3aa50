"""Tasks: a prompt with the samples to judge, and how many answers are still wanted."""

from django.contrib.auth.models import User
from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q

from labeling.models.assignments import Assignment, Cursor
from labeling.models.projects import Project, Prompt, Sample

STEPS = (1, *(digit * 10**power for power in (1, 2, 3) for digit in (1, 2, 5)), 10_000)
MANY = STEPS[-1]
"""More tasks than so many are not counted for one person."""


class TaskQuerySet(models.QuerySet["Task"]):
    """Reads of tasks."""

    def ordinary(self) -> "TaskQuerySet":
        """Tasks whose answers are wanted for their own sake: from these the reward models learn."""
        return self.filter(kind=Task.Kind.ORDINARY)

    def waiting(self) -> "TaskQuerySet":
        """Tasks that still want somebody to take them."""
        return self.ordinary().filter(open__gt=0)

    def waiting_for(self, user: User) -> "TaskQuerySet":
        """Ordinary tasks this person holds or could still be given."""
        theirs = Assignment.objects.filter(task=OuterRef("pk"), annotator=user)
        spent = theirs.exclude(state__in=Assignment.OFFERED_AGAIN)
        known = Assignment.objects.filter(task__origin=OuterRef("pk"), annotator=user)
        free = Q(open__gt=0) & ~Exists(spent) & ~Exists(known)
        return self.ordinary().filter(free | Exists(theirs.leased()))

    def waiting_about(self, user: User) -> int:
        """How many tasks this person holds or could still be given, rounded down to 0, 1, 10, 20, 50, 100 …

        The exact number would tell gold and repeats: it does not fall when they are answered.
        """
        waiting = self.waiting_for(user)[:MANY].count()
        return max((step for step in STEPS if step <= waiting), default=0)


class Task(models.Model):
    """A prompt with samples to judge by `need` people.

    `open` counts the places nobody holds: `need` less the leased and the submitted assignments.
    """

    class Kind(models.TextChoices):
        ORDINARY = "ordinary", "Ordinary"
        GOLD = "gold", "Gold: the answer is known, and nobody is told"
        TRAINING = "training", "Training: the answer is known, and shown after one's own"
        REPEAT = "repeat", "Repeat: the same again, for the same person"

    class Choice(models.TextChoices):
        """Why a task has its place in the queue."""

        RANDOM = "random", "At random"
        DISAGREEMENT = "disagreement", "The reward model's members disagree"
        CLOSENESS = "closeness", "The rewards are close"

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
        help_text="The task that this one shows again.",
    )
    choice = models.CharField(
        max_length=12,
        choices=Choice,
        default=Choice.RANDOM,
        help_text="Figures about people's taste are unbiased on tasks that came at random.",
    )
    usefulness = models.FloatField(
        null=True, blank=True, help_text="How much its answer would teach, by the measure that put it here."
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
        """Move the task in the queue, ahead of where annotators have got to if need be."""
        with transaction.atomic():
            self.priority = priority
            self.save(update_fields=["priority"])
            Cursor.objects.rewind(self.project, priority=priority)


class Gold(models.Model):
    """What is known to be the right answer to a gold or training task."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, primary_key=True, related_name="gold")
    answer = models.JSONField(help_text="An answer, in the order of the task's own places.")
    explanation = models.TextField(blank=True, help_text="Why, in Markdown: shown after a training task.")
    author = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "gold"

    def __str__(self) -> str:
        return f"The answer to {self.task}"


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
