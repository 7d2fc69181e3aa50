"""The three groups and their permissions; a membership grants the same in one project only.

Annotators label. Reviewers also read and adjudicate all answers, export comparisons, and view runs and model
versions. Admins also set up projects and runs, decide about versions, and invite people; they can view users
but change neither users nor groups, so that staff cannot extend their own permissions.
"""

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

ANNOTATORS = "annotators"
REVIEWERS = "reviewers"
ADMINS = "admins"
APPS = frozenset({"labeling", "training"})
REVIEWER_PERMISSIONS = {
    "labeling": ["label", "review", "export"],
    "training": ["view_run", "view_modelversion"],
}
"""Permissions of reviewers, by app."""


def grant_permissions(sender: AppConfig, **options: Any) -> None:
    """Create the groups with their permissions after `migrate` (or a test's flush). Idempotent."""
    if sender.label not in APPS:
        return
    using = options.get("using", "default")
    # Django's own handler, which creates the permissions, may run after this one.
    for app in (sender, apps.get_app_config("auth")):
        create_permissions(app, verbosity=0, using=using)
    permissions = Permission.objects.using(using)
    group_permissions = {
        ANNOTATORS: permissions.filter(_permission_filter("labeling", ["label"])),
        REVIEWERS: permissions.filter(_permission_filter(sender.label, REVIEWER_PERMISSIONS[sender.label])),
        ADMINS: _admin_permissions(permissions.all()),
    }
    for name, granted in group_permissions.items():
        group, _ = Group.objects.using(using).get_or_create(name=name)
        group.permissions.add(*granted)


def _permission_filter(app: str, codenames: list[str]) -> Q:
    return Q(content_type__app_label=app, codename__in=codenames)


def _admin_permissions(permissions: QuerySet[Permission]) -> QuerySet[Permission]:
    """Everything in our two apps except deleting, and viewing users."""
    ours = Q(content_type__app_label__in=APPS) & ~Q(codename__startswith="delete_")
    return permissions.filter(ours | Q(content_type__app_label="auth", codename="view_user"))
