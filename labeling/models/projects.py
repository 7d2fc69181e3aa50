"""Projects, their guidelines and prompts, and the samples that generators wrote."""

import hashlib
from typing import Any

from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.urls import reverse

from labeling.feedback import (
    KINDS,
    MOST_SAMPLES,
    Answer,
    AnswerError,
    Best,
    Feedback,
    Pair,
    Rank,
    Rewrite,
    Score,
    Verdict,
)

MOST_CRITERIA = 4
MOST_CHECKS = 50
"""The highest percentage of gold and of repeats: the other tasks are what people are asked for."""


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
        return self.allowed(user, "labeling.label").filter(is_active=True)

    def allowed(self, user: User | AnonymousUser, right: str) -> "ProjectQuerySet":
        """The projects in which this person has a right, such as "labeling.review".

        Superusers have it in all. Others have what their groups give them, in projects that are open to
        everybody and in those they are members of; a membership adds the rights of its role there.
        """
        if not user.is_active:
            return self.none()
        if user.is_superuser:
            return self.all()
        mine = Membership.objects.filter(person_id=user.pk)
        if user.has_perm(right):
            return self.filter(Q(everybody=True) | Q(pk__in=mine.values("project")))
        return self.filter(pk__in=mine.giving(right).values("project"))


class MembershipQuerySet(models.QuerySet["Membership"]):
    """Reads of memberships."""

    def giving(self, right: str) -> "MembershipQuerySet":
        """Those whose role gives a right, such as "labeling.review"."""
        app, codename = right.split(".")
        groups = Group.objects.filter(
            permissions__content_type__app_label=app, permissions__codename=codename
        )
        return self.filter(role__in=groups.values("name"))


class Project(models.Model):
    """One question asked of people about a model's samples, and how it is asked."""

    class FeedbackKind(models.TextChoices):
        PAIR = Pair.name, Pair.label
        RANK = Rank.name, Rank.label
        BEST = Best.name, Best.label
        SCORE = Score.name, Score.label
        REWRITE = Rewrite.name, Rewrite.label

    class TextFormat(models.TextChoices):
        PLAIN = "plain", "Plain text, as the model wrote it"
        MARKDOWN = "markdown", "Markdown, with code"

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
        help_text="Score and pair feedback: what is judged beside the overall impression, "
        'such as ["kind", "fluent"].',
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
    text_format = models.CharField(
        max_length=10,
        choices=TextFormat,
        default=TextFormat.PLAIN,
        help_text="How prompts and samples are shown.",
    )
    daily_goal = models.PositiveIntegerField(
        null=True, blank=True, help_text="Answers a day that a person may aim at; nobody has to."
    )
    limit_per_day = models.PositiveIntegerField(
        null=True, blank=True, help_text="The most answers one person may give in a day; empty: no limit."
    )
    limit_per_person = models.PositiveIntegerField(
        null=True, blank=True, help_text="The most answers one person may give altogether; empty: no limit."
    )
    gold_percent = models.PositiveSmallIntegerField(
        default=4,
        validators=[MaxValueValidator(MOST_CHECKS)],
        help_text="Of a hundred tasks, how many are gold: their answer is known, and nobody sees which.",
    )
    repeat_percent = models.PositiveSmallIntegerField(
        default=3,
        validators=[MaxValueValidator(MOST_CHECKS)],
        help_text="Of a hundred tasks, how many are shown to the same person again, in the opposite order.",
    )
    entry_percent = models.PositiveSmallIntegerField(
        default=80,
        validators=[MaxValueValidator(100)],
        help_text="Where there are training tasks: how many of a hundred a person must get right to begin.",
    )
    adjudicate_percent = models.PositiveSmallIntegerField(
        default=30,  # two against one, a third, is no reason to ask somebody else
        validators=[MaxValueValidator(100)],
        help_text="Tasks go to adjudication where fewer than so many of a hundred pairs of answers agree.",
    )
    chosen_percent = models.PositiveSmallIntegerField(
        default=50,
        validators=[MaxValueValidator(100)],
        help_text="Where tasks are ordered by what they would teach, how many of a hundred are chosen so; "
        "the others come at random.",
    )
    everybody = models.BooleanField(
        "open to every annotator", default=True, help_text="Otherwise only its members find it."
    )
    members = models.ManyToManyField(User, through="Membership", blank=True, related_name="projects")
    is_active = models.BooleanField(default=True, help_text="Only active projects hand out tasks.")
    created = models.DateTimeField(auto_now_add=True)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                name="labeling_project_feedback_known", condition=Q(feedback__in=list(KINDS))
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
            models.CheckConstraint(
                name="labeling_project_percentages",
                condition=Q(gold_percent__lte=MOST_CHECKS, repeat_percent__lte=MOST_CHECKS)
                & Q(entry_percent__lte=100, adjudicate_percent__lte=100, chosen_percent__lte=100),
            ),
        ]
        permissions = [
            ("label", "Can answer tasks"),
            ("export", "Can export comparisons"),
            ("review", "Can see how well people agree, and adjudicate"),
            ("invite", "Can invite annotators"),
            ("erase", "Can delete a person's answers"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The page on which the project's tasks are answered."""
        return reverse("labeling:work", args=[self.slug])

    def clean(self) -> None:
        """Every kind has its number of samples, and answers keep the kind they were given in."""
        kind = KINDS.get(self.feedback)
        if kind is not None and self.samples_per_task is not None:
            fewest, most = kind.fewest_samples, kind.most_samples
            if not fewest <= self.samples_per_task <= most:
                asked = f"exactly {fewest}" if fewest == most else f"{fewest} to {most}"
                problem = f"“{kind.label}” takes {asked} samples, not {self.samples_per_task}."
                raise ValidationError({"samples_per_task": problem})
        stored = Project.objects.filter(pk=self.pk).exclude(feedback=self.feedback)
        if stored.filter(tasks__isnull=False).exists():
            raise ValidationError({"feedback": "The project has tasks: its kind of feedback stays."})

    @property
    def kind(self) -> Feedback:
        """The kind of feedback, with the project's settings."""
        match self.feedback:
            case Pair.name:
                return Pair(criteria=tuple(self.criteria))
            case Score.name:
                return Score(scale=self.scale, criteria=tuple(self.criteria))
            case Best.name:
                return Best()
            case Rewrite.name:
                return Rewrite()
        return Rank()

    def share_of_scale(self, score: int) -> float:
        """A score of 1 … `scale` as a number from 0 to 1, rounded to six digits: one value, one text."""
        return round((score - 1) / (self.scale - 1), 6)

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """The answer sample by sample, none if all are bad; raises AnswerError."""
        if not answer.all_bad:
            return self.kind.verdicts(answer, samples)
        if answer.judges:
            raise AnswerError("all_bad: an answer either says that all are bad or judges the samples.")
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


class Membership(models.Model):
    """Somebody's part in one project: what the role's group gives elsewhere, it gives here."""

    class Role(models.TextChoices):
        """Named as the groups of `labeling.people.groups`."""

        ANNOTATOR = "annotators", "Annotator"
        REVIEWER = "reviewers", "Reviewer"
        ADMIN = "admins", "Admin"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    person = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.ANNOTATOR)
    created = models.DateTimeField(auto_now_add=True)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ["person__username"]
        constraints = [
            models.UniqueConstraint(fields=["project", "person"], name="labeling_membership_once"),
            models.CheckConstraint(
                name="labeling_membership_role_known",
                condition=Q(role__in=["annotators", "reviewers", "admins"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} in {self.project}: {self.get_role_display()}"


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
