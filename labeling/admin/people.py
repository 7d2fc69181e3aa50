"""Invitations: made, withdrawn and accepted on the site's own pages."""

from django.contrib import admin

from labeling.admin.base import ReadOnly
from labeling.models import Invitation


@admin.register(Invitation)
class InvitationAdmin(ReadOnly, admin.ModelAdmin):
    """Who was asked to come. Their links are nowhere: only digests of the secrets are kept."""

    list_display = [
        "name",
        "role",
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
        "projects",
        "invited_by",
        "created",
        "expires",
        "accepted",
        "accepted_by",
        "withdrawn",
    ]
