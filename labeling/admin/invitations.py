"""Admin of invitations, which are created, withdrawn and accepted on the site's own pages."""

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Q

from labeling.admin.base import MultiProjectAdmin, ReadOnlyAdmin
from labeling.models import Invitation


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin, MultiProjectAdmin):
    """Invitations, without their links: only digests of the secrets are stored."""

    list_display = [
        "name",
        "role",
        "everywhere",
        "invited_by",
        "created",
        "expires",
        "accepted",
        "accepted_by",
        "withdrawn",
    ]
    list_filter = ["role", "created", "accepted", "withdrawn"]
    list_select_related = ["invited_by", "accepted_by"]
    search_fields = ["name", "accepted_by__username"]
    fields = [
        "name",
        "role",
        "everywhere",
        "projects",
        "invited_by",
        "created",
        "expires",
        "accepted",
        "accepted_by",
        "withdrawn",
    ]

    def visible_rows(self, user: User) -> Q:
        """Invitations that the user may withdraw."""
        return Q(pk__in=Invitation.objects.visible_to(user).values("pk"))
