"""Invitations: made, withdrawn and accepted on the site's own pages."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from labeling.admin.base import ReadOnly
from labeling.models import Invitation


@admin.register(Invitation)
class InvitationAdmin(ReadOnly, admin.ModelAdmin):
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

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invitation]:
        """Those that the person may withdraw."""
        return super().get_queryset(request).visible_to(request.user)  # type: ignore[attr-defined, no-any-return]
