"""Projects, their guidelines and prompts, and the samples that generators wrote."""

import hashlib
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.urls import reverse

from labeling.feedback import MOST_SAMPLES, Answer, AnswerError, Feedback, Rank, Score, Verdict

MOST_CRITERIA = 4


def check_criteria(value: Any) -> None:
    """Criteria are a list of at most four different short names."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise ValidationError('Criteria are a list of names, such as ["kind", "fluent"].')
    if len(value) > MOST_CRITERIA or len(set(value)) != len(value):
        raise ValidationError(f"At most {MOST_CRITERIA} criteria, each named once.")
    if any(len(name) > 40 for name in value):
        raise ValidationError("A criterion's name has at most 40 characters.")


class ProjectQuerySet(models.QuerySet["Project"]):
    """Reads of projects."""

    def for_annotator(self, user: User) -> "ProjectQuerySet":
        """The projects in which this person may label now."""
        if not user.is_active or not user.has_perm("labeling.label"):
            return self.none()
        return self.filter(is_active=True)


class Project(models.Model):
    """One question asked of people about a model's samples, and how it is asked."""

    class FeedbackKind(models.TextChoices):
        RANK = "rank", "Rank the samples, best to worst"
        SCORE = "score", "Score each sample"

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    feedback = models.CharField(max_length=10, choices=FeedbackKind, default=FeedbackKind.RANK)
    scale = models.PositiveSmallIntegerField(
        default=5,
        validators=[MinValueValidator(2), MaxValueValidator(9)],
        help_text="Score feedback: scores go from 1 to this.",
    )
    criteria = models.JSONField(
        default=list,
        blank=True,
        validators=[check_criteria],
        help_text='Score feedback: what is scored beside the overall impression, such as ["kind", "fluent"].',
    )
    samples_per_task = models.PositiveSmallIntegerField(
        default=4,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_SAMPLES)],
        help_text="How many samples are shown together. More than 5 are hard to rank.",
    )
    annotations_per_task = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="How many people answer each task."
    )
    lease_minutes = models.PositiveSmallIntegerField(
        default=12,
        validators=[MinValueValidator(1)],
        help_text="How long a task is held for one person; renewed while the page is in use.",
    )
    is_active = models.BooleanField(default=True, help_text="Only active projects hand out tasks.")
    created = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="labeling_project_feedback_known", condition=Q(feedback__in=["rank", "score"])
            ),
            models.CheckConstraint(
                name="labeling_project_scale_digits", condition=Q(scale__gte=2, scale__lte=9)
            ),
            models.CheckConstraint(
                name="labeling_project_samples_digits",
                condition=Q(samples_per_task__gte=1, samples_per_task__lte=MOST_SAMPLES),
            ),
            models.CheckConstraint(
                name="labeling_project_annotations_positive", condition=Q(annotations_per_task__gte=1)
            ),
            models.CheckConstraint(name="labeling_project_lease_positive", condition=Q(lease_minutes__gte=1)),
        ]
        permissions = [
            ("label", "Can answer tasks"),
            ("export", "Can export comparisons"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The page on which the project's tasks are answered."""
        return reverse("labeling:work", args=[self.slug])

    def clean(self) -> None:
        """A ranking needs something to rank against, and answers keep the kind they were given in."""
        ranks = self.feedback == self.FeedbackKind.RANK
        if ranks and self.samples_per_task is not None and self.samples_per_task < Rank.fewest_samples:
            raise ValidationError({"samples_per_task": "A ranking needs at least 2 samples."})
        stored = Project.objects.filter(pk=self.pk).exclude(feedback=self.feedback)
        if stored.filter(tasks__isnull=False).exists():
            raise ValidationError({"feedback": "The project has tasks: its kind of feedback stays."})

    @property
    def kind(self) -> Feedback:
        """The kind of feedback, with the project's settings."""
        if self.feedback == self.FeedbackKind.SCORE:
            return Score(scale=self.scale, criteria=tuple(self.criteria))
        return Rank()

    def share_of_scale(self, score: int) -> float:
        """A score of 1 … `scale` as a number from 0 to 1, rounded to six digits: one value, one text."""
        return round((score - 1) / (self.scale - 1), 6)

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """The answer sample by sample, none if all are bad; raises AnswerError."""
        if not answer.all_bad:
            return self.kind.verdicts(answer, samples)
        if answer.ranks or answer.scores or answer.criteria:
            raise AnswerError("all_bad: an answer is either all bad or has ranks or scores.")
        return []

    @property
    def guidelines(self) -> "Guidelines | None":
        """The guidelines in force: the latest version."""
        return self.guidelines_versions.order_by("-version").first()

    def revise_guidelines(self, text: str, *, author: User | None = None) -> "Guidelines":
        """Put new guidelines in force, as a new version unless nothing changed."""
        with transaction.atomic():
            # Two revisions at once take their numbers one after the other.
            Project.objects.select_for_update(no_key=True).get(pk=self.pk)
            current = self.guidelines
            if current is not None and current.text == text:
                return current
            version = 1 if current is None else current.version + 1
            return self.guidelines_versions.create(version=version, text=text, author=author)


class Guidelines(models.Model):
    """One version of what annotators are asked to look for. The highest version is in force."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="guidelines_versions")
    version = models.PositiveIntegerField()
    text = models.TextField(blank=True, help_text="Markdown.")
    author = models.ForeignKey(User, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "guidelines"
        ordering = ["project", "-version"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "version"], name="labeling_guidelines_version_once_a_project"
            )
        ]

    def __str__(self) -> str:
        return f"{self.project}, version {self.version}"


def prompt_hash(text: str) -> str:
    """What makes a prompt unique in its project: SHA-256 of its UTF-8 text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class Prompt(models.Model):
    """A text that models complete. Training never sees the held-out ones."""

    class Split(models.TextChoices):
        TRAIN = "train", "Train"
        HELDOUT = "heldout", "Held out"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    text = models.TextField(blank=True, help_text="May be empty, once: samples then start from nothing.")
    split = models.CharField(max_length=10, choices=Split, default=Split.TRAIN)
    hash = models.CharField(max_length=64, editable=False)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["project", "hash"], name="labeling_prompt_once_a_project"),
            models.CheckConstraint(
                name="labeling_prompt_split_known", condition=Q(split__in=["train", "heldout"])
            ),
        ]

    def __str__(self) -> str:
        line = " ".join(self.text.split())
        return f"{line[:79]}…" if len(line) > 80 else line or "(empty prompt)"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Keep the hash true to the text."""
        self.hash = prompt_hash(self.text)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Find a prompt that the project has already: forms do not know the hash."""
        same = Prompt.objects.filter(project_id=self.project_id, hash=prompt_hash(self.text))
        if same.exclude(pk=self.pk).exists():
            raise ValidationError("This project has this prompt already.")


class Generator(models.Model):
    """Who wrote a sample: a version of a model, a person, or an import."""

    name = models.CharField(max_length=150, unique=True)
    description = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Sample(models.Model):
    """A completion as it was written. Never changed: the database refuses an update."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="samples")
    generator = models.ForeignKey(Generator, on_delete=models.PROTECT, related_name="samples")
    text = models.TextField(blank=True, help_text="Exactly what follows the prompt, leading space included.")
    parameters = models.JSONField(default=dict, blank=True, help_text="How it was sampled.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        line = " ".join(self.text.split())
        return f"{line[:79]}…" if len(line) > 80 else line or "(empty)"
