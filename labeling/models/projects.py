"""Projects with their guidelines, memberships, prompts and samples, and generators."""

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
from labeling.text_limits import MAX_NAME_LENGTH, MAX_SAMPLES
from training.formats.conversation import as_prompt
from training.formats.messages import render_messages
from training.formats.prompt_completions import parse_prompt

MAX_CRITERIA = 4
MAX_CONTROL_PERCENT = 50
"""The highest percentage of gold tasks, and of repeats."""


def check_criteria(value: Any) -> None:
    """Criteria are a list of at most four distinct short names."""
    if not isinstance(value, list) or not all(isinstance(name, str) and name.strip() for name in value):
        raise ValidationError('Criteria are a list of names, such as ["kind", "fluent"].')
    if len(value) > MAX_CRITERIA or len(set(value)) != len(value):
        raise ValidationError(f"At most {MAX_CRITERIA} criteria, each named once.")
    if any(len(name) > 40 for name in value):
        raise ValidationError("A criterion's name has at most 40 characters.")


class ProjectQuerySet(models.QuerySet["Project"]):
    """Reads of projects."""

    def for_annotator(self, user: User) -> "ProjectQuerySet":
        """The projects in which this person may label now."""
        return self.allowed(user, "labeling.label").filter(is_active=True)

    def allowed(self, user: User | AnonymousUser, right: str) -> "ProjectQuerySet":
        """The projects in which this person has a permission, such as "labeling.review".

        Superusers have it in all. Others have the permissions of their groups in open projects and in those
        they are members of; a membership adds the permissions of its role.
        """
        if not user.is_active:
            return self.none()
        if user.is_superuser:
            return self.all()
        mine = Membership.objects.filter(person_id=user.pk)
        if user.has_perm(right):
            return self.filter(Q(everybody=True) | Q(pk__in=mine.values("project")))
        return self.filter(pk__in=mine.granting(right).values("project"))


class MembershipQuerySet(models.QuerySet["Membership"]):
    """Reads of memberships."""

    def granting(self, right: str) -> "MembershipQuerySet":
        """Memberships whose role has a permission, such as "labeling.review"."""
        app, codename = right.split(".")
        groups = Group.objects.filter(
            permissions__content_type__app_label=app, permissions__codename=codename
        )
        return self.filter(role__in=groups.values("name"))


class Project(models.Model):
    """A labelling project: the kind of feedback that people give on samples, and its settings."""

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
        help_text="Score feedback: scores range from 1 to this.",
    )
    criteria = models.JSONField(
        default=list,
        blank=True,
        validators=[check_criteria],
        help_text="Score and pair feedback: criteria judged in addition to the overall impression, "
        'such as ["kind", "fluent"].',
    )
    samples_per_task = models.PositiveSmallIntegerField(
        default=4,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_SAMPLES)],
        help_text="Samples shown together. More than 5 are hard to rank.",
    )
    annotations_per_task = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1)], help_text="How many people answer each task."
    )
    lease_minutes = models.PositiveSmallIntegerField(
        default=12,
        validators=[MinValueValidator(1)],
        help_text="How long a task is reserved for one person; renewed while the page is in use.",
    )
    text_format = models.CharField(
        max_length=10,
        choices=TextFormat,
        default=TextFormat.PLAIN,
        help_text="How prompts and samples are shown.",
    )
    daily_goal = models.PositiveIntegerField(
        null=True, blank=True, help_text="Answers per person and day, shown as an optional goal."
    )
    limit_per_day = models.PositiveIntegerField(
        null=True, blank=True, help_text="Maximum number of answers per person and day; empty: no limit."
    )
    limit_per_person = models.PositiveIntegerField(
        null=True, blank=True, help_text="Maximum number of answers per person in total; empty: no limit."
    )
    gold_percent = models.PositiveSmallIntegerField(
        default=4,
        validators=[MaxValueValidator(MAX_CONTROL_PERCENT)],
        help_text="Percentage of tasks that are gold: their answer is known, and they are not marked.",
    )
    repeat_percent = models.PositiveSmallIntegerField(
        default=3,
        validators=[MaxValueValidator(MAX_CONTROL_PERCENT)],
        help_text="Percentage of tasks that are repeats: shown to the same person again, in reverse order.",
    )
    entry_percent = models.PositiveSmallIntegerField(
        default=80,
        validators=[MaxValueValidator(100)],
        help_text="Percentage of training tasks, if any, that a person must get right before starting.",
    )
    adjudicate_percent = models.PositiveSmallIntegerField(
        default=30,  # two against one, an agreement of a third, does not need adjudication
        validators=[MaxValueValidator(100)],
        help_text="Tasks with less agreement than this percentage go to adjudication.",
    )
    chosen_percent = models.PositiveSmallIntegerField(
        default=50,
        validators=[MaxValueValidator(100)],
        help_text="When tasks are prioritised: percentage chosen by acquisition score; others are random.",
    )
    everybody = models.BooleanField(
        "open to every annotator", default=True, help_text="Otherwise only members can see it."
    )
    members = models.ManyToManyField(User, through="Membership", blank=True, related_name="projects")
    live_comparisons = models.BooleanField(
        default=False,
        help_text="Annotators may write to two models, which are not named, and compare their answers.",
    )
    live_generators = models.ManyToManyField(
        "labeling.Generator",
        blank=True,
        related_name="+",
        help_text="Who answers in live comparisons, besides the version in production.",
    )
    live_max_tokens = models.PositiveIntegerField(
        default=512,
        validators=[MinValueValidator(1)],
        help_text="Longest answer in live comparisons, in tokens.",
    )
    is_active = models.BooleanField(
        default=True, help_text="Annotators can get tasks only from active projects."
    )
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
                condition=Q(samples_per_task__gte=1, samples_per_task__lte=MAX_SAMPLES),
            ),
            models.CheckConstraint(
                name="labeling_project_annotations_positive", condition=Q(annotations_per_task__gte=1)
            ),
            models.CheckConstraint(name="labeling_project_lease_positive", condition=Q(lease_minutes__gte=1)),
            models.CheckConstraint(
                name="labeling_project_percentages",
                condition=Q(gold_percent__lte=MAX_CONTROL_PERCENT, repeat_percent__lte=MAX_CONTROL_PERCENT)
                & Q(entry_percent__lte=100, adjudicate_percent__lte=100, chosen_percent__lte=100),
            ),
        ]
        permissions = [
            ("label", "Can answer tasks"),
            ("export", "Can export comparisons"),
            ("review", "Can view quality metrics and adjudicate"),
            ("invite", "Can invite people"),
            ("erase", "Can delete a person's answers"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The page on which tasks are answered."""
        return reverse("labeling:work", args=[self.slug])

    def clean(self) -> None:
        """Check the number of samples, and that the kind of feedback stays once there are tasks."""
        kind = KINDS.get(self.feedback)
        if kind is not None and self.samples_per_task is not None:
            fewest, most = kind.min_samples, kind.max_samples
            if not fewest <= self.samples_per_task <= most:
                allowed = f"exactly {fewest}" if fewest == most else f"{fewest} to {most}"
                problem = f"“{kind.label}” takes {allowed} samples, not {self.samples_per_task}."
                raise ValidationError({"samples_per_task": problem})
        stored = Project.objects.filter(pk=self.pk).exclude(feedback=self.feedback)
        if stored.filter(tasks__isnull=False).exists():
            raise ValidationError({"feedback": "The kind of feedback cannot change once there are tasks."})

    @property
    def has_live_comparisons(self) -> bool:
        """Whether annotators may compare models live: only in projects that compare two samples."""
        return self.live_comparisons and self.feedback == Pair.name

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

    def normalised_score(self, score: int) -> float:
        """A score of 1 … `scale` scaled to 0 … 1, rounded to six digits so that its text is unique."""
        return round((score - 1) / (self.scale - 1), 6)

    def verdicts(self, answer: Answer, samples: int) -> list[Verdict]:
        """The verdict of each sample, none if all are bad; raises AnswerError."""
        if not answer.all_bad:
            return self.kind.verdicts(answer, samples)
        if answer.has_judgements:
            raise AnswerError("all_bad: an all-bad answer cannot judge the samples as well.")
        return []

    @property
    def guidelines(self) -> "Guidelines | None":
        """The guidelines in force: the latest version."""
        return self.guidelines_versions.order_by("-version").first()

    def revise_guidelines(self, text: str, *, author: User | None = None) -> "Guidelines":
        """Save guidelines as a new version, unless nothing changed."""
        with transaction.atomic():
            # Locked, so that concurrent revisions get consecutive numbers.
            Project.objects.select_for_update(no_key=True).get(pk=self.pk)
            current = self.guidelines
            if current is not None and current.text == text:
                return current
            version = 1 if current is None else current.version + 1
            return self.guidelines_versions.create(version=version, text=text, author=author)


class Membership(models.Model):
    """A person's role in one project, with the permissions of the group of the same name."""

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
    """One version of a project's guidelines. The highest version is in force."""

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
    """The SHA-256 of a prompt's UTF-8 text, in hexadecimal; unique in a project."""
    return hashlib.sha256(text.encode()).hexdigest()


class Prompt(models.Model):
    """A text that models complete, or a conversation. Held-out prompts are never used for training."""

    class Split(models.TextChoices):
        TRAIN = "train", "Train"
        HELDOUT = "heldout", "Held out"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    text = models.TextField(
        blank=True,
        help_text="May be empty: samples are then unconditional. Of a conversation, its text with turns.",
    )
    messages = models.JSONField(
        null=True,
        blank=True,
        help_text='A conversation, such as [{"role": "user", "content": "Hi"}]; empty: plain text.',
    )
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
        """The text in one line; of a conversation, what is to be answered."""
        if self.messages:
            before = "… " if len(self.messages) > 1 else ""
            line = before + " ".join(self.messages[-1]["content"].split())
        else:
            line = " ".join(self.text.split())
        return f"{line[:79]}…" if len(line) > 80 else line or "(empty prompt)"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Update the text of a conversation, and the hash."""
        if self.messages is not None:
            self.text = render_messages(self.messages)
        self.hash = prompt_hash(self.text)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        """Check the conversation, and reject duplicates: the hash is not part of forms."""
        field = "text" if self.messages is None else "messages"
        try:
            self.text, messages = parse_prompt(getattr(self, field), name=field)
        except ValueError as error:
            raise ValidationError({field: str(error)}) from None
        self.messages = None if messages is None else list(messages)
        same = Prompt.objects.filter(project_id=self.project_id, hash=prompt_hash(self.text))
        if same.exclude(pk=self.pk).exists():
            raise ValidationError("The project already has this prompt.")

    @property
    def for_models(self) -> str:
        """The prompt as models read it: its text, which carries the messages of a conversation along."""
        return as_prompt(self.text, self.messages)


class Generator(models.Model):
    """The source of samples: a model version, an endpoint, a person, or whoever an imported file names.

    Names from files belong to the project: a file cannot take the name of a version, nor of one to come.
    """

    name = models.CharField(max_length=MAX_NAME_LENGTH)
    project = models.ForeignKey(
        Project,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="generators",
        help_text="The project that it was imported into; empty: a generator of this site.",
    )
    description = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(project__isnull=True), name="labeling_generator_name_once"
            ),
            models.UniqueConstraint(fields=["project", "name"], name="labeling_generator_once_a_project"),
        ]

    def __str__(self) -> str:
        return self.name


class Sample(models.Model):
    """A completion. Immutable: the database refuses updates."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="samples")
    # RESTRICT, not PROTECT: a project is deleted with its samples and their generators.
    generator = models.ForeignKey(Generator, on_delete=models.RESTRICT, related_name="samples")
    text = models.TextField(blank=True, help_text="Exactly what follows the prompt, with its leading space.")
    parameters = models.JSONField(default=dict, blank=True, help_text="Sampling parameters.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        line = " ".join(self.text.split())
        return f"{line[:79]}…" if len(line) > 80 else line or "(empty)"
