"""Answers: append-only, so that the table is its own audit trail."""

from collections.abc import Sequence

from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import Exists, OuterRef, Q

from labeling.feedback import LONGEST_COMMENT, Answer, Verdict
from labeling.models.assignments import Assignment
from labeling.models.projects import Guidelines, Project, Sample


class AnnotationQuerySet(models.QuerySet["Annotation"]):
    """Reads of annotations."""

    def of(self, project: Project) -> "AnnotationQuerySet":
        """A project's annotations."""
        return self.filter(assignment__project=project)

    def counting(self) -> "AnnotationQuerySet":
        """The revision of each answer that counts."""
        later = Annotation.objects.filter(
            assignment=OuterRef("assignment"), revision__gt=OuterRef("revision")
        )
        return self.filter(~Exists(later))


class Annotation(models.Model):
    """One person's answer to a task, in one revision; the latest revision counts.

    Never changed: the database refuses an update. An edit is a new revision.
    """

    assignment = models.ForeignKey(Assignment, on_delete=models.CASCADE, related_name="annotations")
    revision = models.PositiveSmallIntegerField(default=1)
    client_key = models.CharField(max_length=64, help_text="The same for retries of one submit.")
    guidelines = models.ForeignKey(
        Guidelines,
        null=True,
        blank=True,
        on_delete=models.RESTRICT,
        related_name="+",
        help_text="The version in force when the answer was given.",
    )
    all_bad = models.BooleanField(default=False)
    flagged = models.BooleanField(default=False)
    comment = models.TextField(blank=True, validators=[MaxLengthValidator(LONGEST_COMMENT)])
    seconds = models.FloatField(null=True, blank=True, help_text="Time spent, as the page saw it.")
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
        cls, assignment: Assignment, answer: Answer, verdicts: Sequence[Verdict], *, client_key: str
    ) -> "Annotation":
        """Store a checked answer with its judgements, inside the caller's transaction."""
        annotation = cls.objects.create(
            assignment=assignment,
            client_key=client_key,
            guidelines=assignment.project.guidelines,
            all_bad=answer.all_bad,
            flagged=answer.flagged,
            comment=answer.comment,
            seconds=answer.seconds,
        )
        Judgement.objects.bulk_create(
            Judgement(
                annotation=annotation,
                sample_id=sample,
                rank=verdict.rank,
                score=verdict.score,
                criteria=dict(verdict.criteria),
            )
            for sample, verdict in zip(assignment.shown_order, verdicts, strict=bool(verdicts))
        )
        return annotation


class Judgement(models.Model):
    """One sample's rank (1 is best) or score (1 is worst) in an annotation. Never changed either."""

    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="judgements")
    sample = models.ForeignKey(Sample, on_delete=models.CASCADE, related_name="judgements")
    rank = models.PositiveSmallIntegerField(null=True, blank=True)
    score = models.PositiveSmallIntegerField(null=True, blank=True)
    criteria = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["annotation", "sample"], name="labeling_judgement_sample_once"),
            models.CheckConstraint(
                name="labeling_judgement_rank_or_score",
                condition=Q(rank__isnull=False, rank__gte=1, score__isnull=True)
                | Q(rank__isnull=True, score__isnull=False, score__gte=1),
            ),
        ]

    def __str__(self) -> str:
        return f"rank {self.rank}" if self.rank is not None else f"score {self.score}"

    @property
    def verdict(self) -> Verdict:
        """The plain value that `labeling.feedback` works with."""
        return Verdict(rank=self.rank, score=self.score, criteria=self.criteria)
