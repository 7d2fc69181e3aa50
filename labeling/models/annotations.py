"""Annotations: append-only, so that the table is its own audit trail."""

from collections.abc import Sequence
from dataclasses import replace

from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import Exists, Max, OuterRef, Q

from labeling.feedback import MAX_GRADE, Answer, Verdict
from labeling.models.assignments import Assignment
from labeling.models.projects import Guidelines, Project, Sample
from labeling.models.tasks import Task
from labeling.text_limits import MAX_COMMENT_LENGTH, MAX_TEXT_LENGTH


class AnnotationQuerySet(models.QuerySet["Annotation"]):
    """Reads of annotations."""

    def for_project(self, project: Project) -> "AnnotationQuerySet":
        """A project's annotations."""
        return self.filter(assignment__project=project)

    def latest_revisions(self) -> "AnnotationQuerySet":
        """Only the latest revision of each answer: the one that counts."""
        later = Annotation.objects.filter(
            assignment=OuterRef("assignment"), revision__gt=OuterRef("revision")
        )
        return self.filter(~Exists(later))

    def flagged_or_commented(self) -> "AnnotationQuerySet":
        """Flagged annotations, and those with a comment."""
        return self.filter(Q(flagged=True) | ~Q(comment=""))

    def on_ordinary_tasks(self) -> "AnnotationQuerySet":
        """Annotations of ordinary tasks, not of gold, training tasks and repeats."""
        return self.filter(assignment__task__kind=Task.Kind.ORDINARY)

    def on_random_tasks(self) -> "AnnotationQuerySet":
        """Annotations of randomly chosen tasks. Tasks chosen by acquisition score are closer than most and
        bias preference statistics."""
        return self.filter(assignment__task__choice=Task.Choice.RANDOM)

    def used_for_training(self) -> "AnnotationQuerySet":
        """Annotations of ordinary tasks; of an adjudicated task, only the final answer, if one was chosen."""
        chosen = Q(assignment__adjudication__isnull=False)
        return self.on_ordinary_tasks().filter(Q(assignment__task__adjudication__assignment=None) | chosen)


class Annotation(models.Model):
    """One revision of one person's answer to a task; the latest revision counts.

    Immutable: the database refuses updates. An edit is a new revision.
    """

    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE, related_name="annotations")
    revision = models.PositiveSmallIntegerField(default=1)
    client_key = models.CharField(max_length=64, help_text="Idempotency key: the same on retries.")
    guidelines = models.ForeignKey(
        Guidelines,
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="+",
        help_text="The version in force at submission.",
    )
    all_bad = models.BooleanField(default=False)
    flagged = models.BooleanField(default=False)
    comment = models.TextField(blank=True, validators=[MaxLengthValidator(MAX_COMMENT_LENGTH)])
    text = models.TextField(
        blank=True,
        validators=[MaxLengthValidator(MAX_TEXT_LENGTH)],
        help_text="Rewrite: the text, without the white space between prompt and completion.",
    )
    edited = models.ForeignKey(
        Sample,
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="+",
        help_text="Rewrite: the edited sample; empty if written from scratch.",
    )
    seconds = models.FloatField(
        null=True, blank=True, help_text="Active time: while the page was visible and in use."
    )
    created = models.DateTimeField(auto_now_add=True)

    objects = AnnotationQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["assignment", "revision"], name="labeling_annotation_revision_once"
            ),
            models.UniqueConstraint(
                fields=["assignment", "client_key"], name="labeling_annotation_client_key_once"
            ),
        ]

    def __str__(self) -> str:
        return f"Answer {self.pk} to {self.assignment}"

    @classmethod
    def record(
        cls,
        assignment: Assignment,
        answer: Answer,
        verdicts: Sequence[Verdict],
        *,
        client_key: str,
    ) -> "Annotation":
        """Store a valid answer with its judgements as the next revision, inside the caller's transaction.

        The caller has locked the assignment, so that revision numbers are unique.
        """
        last = cls.objects.filter(assignment=assignment).aggregate(last=Max("revision"))["last"]
        annotation = cls.objects.create(
            assignment=assignment,
            revision=(last or 0) + 1,
            client_key=client_key,
            guidelines=assignment.project.guidelines,
            all_bad=answer.all_bad,
            flagged=answer.flagged,
            comment=answer.comment,
            text=answer.text,
            edited_id=None if answer.edited is None else assignment.shown_order[answer.edited - 1],
            seconds=answer.seconds,
        )
        Judgement.objects.bulk_create(
            Judgement(
                annotation=annotation,
                sample_id=sample,
                rank=verdict.rank,
                score=verdict.score,
                grade=verdict.grade,
                criteria=dict(verdict.criteria),
            )
            for sample, verdict in zip(assignment.shown_order, verdicts, strict=bool(verdicts))
        )
        return annotation

    @property
    def answer(self) -> Answer:
        """The answer, with the samples in the order shown."""
        return self.answer_in_order(self.assignment.shown_order)

    def answer_in_order(self, order: Sequence[int]) -> Answer:
        """The answer, with the samples (ids) in the given order."""
        by_sample = {judgement.sample_id: judgement.verdict for judgement in self.judgements.all()}
        answer = (
            self.assignment.project.kind.answer([by_sample[key] for key in order]) if by_sample else Answer()
        )
        return replace(
            answer,
            text=self.text,
            edited=order.index(self.edited_id) + 1 if self.edited_id is not None else None,
            all_bad=self.all_bad,
            flagged=self.flagged,
            comment=self.comment,
            seconds=self.seconds,
        )


class Judgement(models.Model):
    """One sample's rank (1 is best), score (1 is worst) or grade against the other of a pair (above 0 is
    better) in an annotation. Immutable, too."""

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="judgements")
    sample = models.ForeignKey(Sample, on_delete=models.CASCADE, related_name="judgements")
    rank = models.PositiveSmallIntegerField(null=True, blank=True)
    score = models.PositiveSmallIntegerField(null=True, blank=True)
    grade = models.SmallIntegerField(null=True, blank=True)
    criteria = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["annotation", "sample"], name="labeling_judgement_sample_once"),
            models.CheckConstraint(
                name="labeling_judgement_one_verdict",
                condition=Q(rank__gte=1, rank__isnull=False, score__isnull=True, grade__isnull=True)
                | Q(rank__isnull=True, score__gte=1, score__isnull=False, grade__isnull=True)
                | Q(rank__isnull=True, score__isnull=True, grade__isnull=False)
                & Q(grade__gte=-MAX_GRADE, grade__lte=MAX_GRADE),
            ),
        ]

    def __str__(self) -> str:
        if self.rank is not None:
            return f"rank {self.rank}"
        return f"score {self.score}" if self.score is not None else f"grade {self.grade:+}"

    @property
    def verdict(self) -> Verdict:
        """The value that `labeling.feedback` works with."""
        return Verdict(rank=self.rank, score=self.score, grade=self.grade, criteria=self.criteria)


class Adjudication(models.Model):
    """The final decision on a task with low agreement: one answer counts instead of all, or all count."""

    task = models.OneToOneField(Task, on_delete=models.CASCADE, primary_key=True, related_name="adjudication")
    assignment = models.OneToOneField(
        Assignment,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="adjudication",
        help_text="The final answer; empty: all answers are kept.",
    )
    note = models.TextField(blank=True, help_text="The reason for the decision.")
    created = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"Final decision on {self.task}"
