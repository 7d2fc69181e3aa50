"""The three groups of people, and what each may do; a membership gives the same in one project alone.

Annotators label. Reviewers also read and adjudicate every answer, export comparisons, and look at runs and
model versions. Admins set up projects and runs as well, decide about versions, and invite people; they may
look at users, but change neither users nor groups, so that nobody on the staff can raise their own rights.
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
REVIEWING = {"labeling": ["label", "review", "export"], "training": ["view_run", "view_modelversion"]}
"""What reviewers may, by app."""


def grant_rights(sender: AppConfig, **options: Any) -> None:
    """After `migrate` (or a test's flush): the groups exist and hold their rights. Safe to repeat."""
    if sender.label not in APPS:
        return
    using = options.get("using", "default")
    # Django's own handler, which makes the permissions, may come after this one.
    for app in (sender, apps.get_app_config("auth")):
        create_permissions(app, verbosity=0, using=using)
    permissions = Permission.objects.using(using)
    rights = {
        ANNOTATORS: permissions.filter(_named("labeling", ["label"])),
        REVIEWERS: permissions.filter(_named(sender.label, REVIEWING[sender.label])),
        ADMINS: _admin_rights(permissions.all()),
    }
    for name, given in rights.items():
        group, _ = Group.objects.using(using).get_or_create(name=name)
        group.permissions.add(*given)


def _named(app: str, codenames: list[str]) -> Q:
    return Q(content_type__app_label=app, codename__in=codenames)


def _admin_rights(permissions: QuerySet[Permission]) -> QuerySet[Permission]:
    """Everything in our two apps but deleting (answers are kept), and a look at users."""
    ours = Q(content_type__app_label__in=APPS) & ~Q(codename__startswith="delete_")
    return permissions.filter(ours | Q(content_type__app_label="auth", codename="view_user"))
