"""Model versions: origin, files, metrics and stage."""

from typing import Any, Self

from django.contrib.auth.models import AnonymousUser, User
from django.core.validators import RegexValidator
from django.db import models
from django.urls import reverse

from labeling.models import Generator, Project
from training.models.runs import Run

version_name = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z",
    "Start the name with a letter or digit, followed by letters, digits, '.', '_' or '-'.",
)


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def policies(self) -> Self:
        return self.filter(kind=ModelVersion.Kind.POLICY)

    def rewards(self) -> Self:
        return self.filter(kind=ModelVersion.Kind.REWARD)

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Versions the user may view: those of projects they have the permission in, and of no project."""
        if not user.is_active:
            return self.none()
        seen = models.Q(project__in=Project.objects.allowed(user, "training.view_modelversion"))
        if user.has_perm("training.view_modelversion"):
            seen |= models.Q(project=None)
        return self.filter(seen)

    def production(self, project: Project, kind: "ModelVersion.Kind | None" = None) -> "ModelVersion | None":
        """The version of a kind (default: policy) in production in a project; None if there is none."""
        kind = kind or ModelVersion.Kind.POLICY
        return self.filter(project=project, kind=kind, stage=ModelVersion.Stage.PRODUCTION).first()

    def candidates(self, project: Project) -> Self:
        """Policies newer than the one in production about which no decision was made."""
        fresh = self.policies().filter(
            project=project, stage=ModelVersion.Stage.CANDIDATE, decisions__action=None
        )
        production = ModelVersion.objects.production(project)
        return fresh if production is None else fresh.filter(pk__gt=production.pk)

    def with_history(self) -> Self:
        """Annotate `was_promoted`: whether the version is or ever was in production."""
        promoted = ModelVersion.objects.filter(pk=models.OuterRef("pk"), decisions__action="promote")
        return self.annotate(was_promoted=models.Exists(promoted))

    def publish(
        self,
        *,
        name: str,
        kind: "ModelVersion.Kind",
        run: Run | None = None,
        parent: "ModelVersion | None" = None,
        **fields: Any,
    ) -> "ModelVersion":
        """Create a version in the project of its run, or else of its parent.

        A policy also gets a `Generator` of the same name, to which its samples belong.
        """
        generator = None
        if kind == ModelVersion.Kind.POLICY:
            generator = Generator.objects.create(name=name)
        project = (run.project if run else None) or (parent.project if parent else None)
        of = {"run": run, "parent": parent, "project": project, "generator": generator}
        return self.create(name=name, kind=kind, **(of | fields))


class ModelVersion(models.Model):
    """A trained or imported model."""

    class Kind(models.TextChoices):
        POLICY = "policy"
        REWARD = "reward"

    class Stage(models.TextChoices):
        CANDIDATE = "candidate"
        PRODUCTION = "production"
        ARCHIVED = "archived"

    name = models.CharField(max_length=80, unique=True, validators=[version_name])
    kind = models.CharField(max_length=10, choices=Kind.choices)
    stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.CANDIDATE)
    project = models.ForeignKey(
        Project,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="versions",
        help_text="The project it was made or first promoted in; empty: none yet.",
    )
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        help_text="The version its weights were initialised from.",
    )
    run = models.OneToOneField(
        Run, models.PROTECT, null=True, blank=True, related_name="version", help_text="The run that made it."
    )
    generator = models.OneToOneField(
        Generator,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="model_version",
        help_text="Its name as the author of samples; empty for reward models.",
    )
    artifact = models.CharField(max_length=200, unique=True, help_text="Folder in the artifact storage.")
    artifact_hash = models.CharField(max_length=64)
    metrics = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="version_policy_has_a_generator",
                condition=models.Q(kind="policy", generator__isnull=False)
                | models.Q(kind="reward", generator__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["project", "kind"],
                name="version_one_in_production",
                condition=models.Q(stage="production"),
                nulls_distinct=False,
            ),
        ]
        permissions = [("promote_modelversion", "Can promote, archive and roll back versions")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("training:version", args=[self.name])
