"""Work settings and invitations of people."""

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from labeling.models.projects import Membership, Project
from labeling.text_limits import MAX_NAME_LENGTH


class WorkSettings(models.Model):
    """One person's work settings."""

    annotator = models.OneToOneField(
        User, on_delete=models.CASCADE, primary_key=True, related_name="work_settings"
    )
    keys = models.JSONField(default=dict, blank=True, help_text="Custom keyboard shortcuts, by action.")
    daily_goal = models.PositiveIntegerField(
        null=True, blank=True, help_text="Answers per day; empty: the project's goal."
    )

    class Meta:
        verbose_name_plural = "work settings"

    def __str__(self) -> str:
        return f"Work settings of {self.annotator}"


class ImportedAnnotator(models.Model):
    """Marks a user who stands for somebody whose answers were imported, and who can never sign in."""

    person = models.OneToOneField(
        User, on_delete=models.CASCADE, primary_key=True, related_name="imported_annotator"
    )
    source = models.CharField(max_length=40, help_text="The tool that the file comes from.")
    name = models.CharField(max_length=MAX_NAME_LENGTH, help_text="As the file names them.")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["source", "name"]
        constraints = [
            models.UniqueConstraint(fields=["source", "name"], name="labeling_importedannotator_once")
        ]

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Reads of invitations."""

    def visible_to(self, user: User) -> "InvitationQuerySet":
        """Invitations whose projects this person all manages; those to the whole site for who can invite
        there."""
        theirs = Project.objects.allowed(user, "labeling.invite")
        rows = self.exclude(projects__in=Project.objects.exclude(pk__in=theirs.values("pk")))
        if user.has_perm("labeling.invite"):
            return rows
        return rows.filter(pk__in=self.filter(projects__in=theirs).values("pk"))


class Invitation(models.Model):
    """A link with which one person can create an account with a role. Only its digest is stored."""

    Role = Membership.Role

    digest = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=10, choices=Role, default=Role.ANNOTATOR)
    name = models.CharField(max_length=150, help_text="The invited person's name, for your own reference.")
    everywhere = models.BooleanField(
        default=True, help_text="The role applies to the whole site; otherwise only to the projects."
    )
    projects = models.ManyToManyField(Project, blank=True, related_name="invitations")
    invited_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="invitations")
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField()
    withdrawn = models.DateTimeField(null=True, blank=True)
    accepted = models.DateTimeField(null=True, blank=True)
    accepted_by = models.OneToOneField(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="invitation"
    )

    objects = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="labeling_invitation_role_known",
                condition=Q(role__in=["annotators", "reviewers", "admins"]),
            ),
            models.CheckConstraint(
                name="labeling_invitation_accepted_by_somebody",
                condition=Q(accepted__isnull=True, accepted_by__isnull=True)
                | Q(accepted__isnull=False, accepted_by__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"Invitation for {self.name}"
