"""Invitations: made, withdrawn and accepted on the site's own pages."""

from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Q

from labeling.admin.base import OfManyProjects, ReadOnly
from labeling.models import Invitation


@admin.register(Invitation)
class InvitationAdmin(ReadOnly, OfManyProjects):
    """Who was asked to come. Their links are nowhere: only digests of the secrets are kept."""

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

    def seen_by(self, user: User) -> Q:
        """Those that the person may withdraw."""
        return Q(pk__in=Invitation.objects.visible_to(user).values("pk"))
