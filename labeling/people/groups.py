"""The two groups of people, and what each may do.

Annotators label. Admins also set up projects and runs, read and adjudicate every answer, export comparisons
and invite annotators; they may look at users, but change neither users nor groups, so that nobody on the
staff can raise their own rights.
"""

from typing import Any

from django.apps import AppConfig, apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

ANNOTATORS = "annotators"
ADMINS = "admins"
APPS = frozenset({"labeling", "training"})


def grant_rights(sender: AppConfig, **options: Any) -> None:
    """After `migrate` (or a test's flush): the groups exist and hold their rights. Safe to repeat."""
    if sender.label not in APPS:
        return
    using = options.get("using", "default")
    # Django's own handler, which makes the permissions, may come after this one.
    for app in (sender, apps.get_app_config("auth")):
        create_permissions(app, verbosity=0, using=using)
    annotators, _ = Group.objects.using(using).get_or_create(name=ANNOTATORS)
    admins, _ = Group.objects.using(using).get_or_create(name=ADMINS)
    permissions = Permission.objects.using(using)
    annotators.permissions.add(*permissions.filter(_custom("label")))
    admins.permissions.add(*_admin_rights(permissions.all()))


def _custom(codename: str) -> Q:
    return Q(content_type__app_label="labeling", codename=codename)


def _admin_rights(permissions: QuerySet[Permission]) -> QuerySet[Permission]:
    """Everything in our two apps but deleting (answers are kept), and a look at users."""
    ours = Q(content_type__app_label__in=APPS) & ~Q(codename__startswith="delete_")
    return permissions.filter(ours | Q(content_type__app_label="auth", codename="view_user"))
