"""People: how each likes to work, and who was asked to come."""

from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q

from labeling.models.projects import Membership, Project


class WorkSettings(models.Model):
    """How one person likes to work."""

    annotator = models.OneToOneField(
        User, on_delete=models.CASCADE, primary_key=True, related_name="work_settings"
    )
    keys = models.JSONField(
        default=dict, blank=True, help_text="Keys by action, where they are not the usual."
    )
    daily_goal = models.PositiveIntegerField(
        null=True, blank=True, help_text="Answers a day to aim at; empty: the project's."
    )

    class Meta:
        verbose_name_plural = "work settings"

    def __str__(self) -> str:
        return f"How {self.annotator} works"


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Reads of invitations."""

    def visible_to(self, user: User) -> "InvitationQuerySet":
        """Those whose projects are all looked after by this person; without any, those of the site."""
        theirs = Project.objects.allowed(user, "labeling.invite")
        rows = self.exclude(projects__in=Project.objects.exclude(pk__in=theirs.values("pk")))
        if user.has_perm("labeling.invite"):
            return rows
        return rows.filter(pk__in=self.filter(projects__in=theirs).values("pk"))


class Invitation(models.Model):
    """A link that lets one person make an account with a role. Only a digest of its secret is kept."""

    Role = Membership.Role

    digest = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=10, choices=Role, default=Role.ANNOTATOR)
    name = models.CharField(max_length=150, help_text="Whom it is for, as you would recognise them.")
    everywhere = models.BooleanField(
        default=True, help_text="The role is one on the whole site; otherwise in the projects alone."
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
