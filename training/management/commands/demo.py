"""`manage.py demo`: accounts, the story project and a story model in training, to try the site."""

import secrets
from typing import Any

from django.contrib.auth.models import Group, User
from django.db import transaction

from training import runs
from training.management.options import require_valid
from training.management.site_command import SiteCommand
from training.models import Run
from training.project_setup import STORIES, story_project

TASKS = 200
PEOPLE = {"admin": "admins", "anna": "annotators", "ben": "annotators"}


class Command(SiteCommand):
    help = "Create an admin, two annotators and the story project, and queue the training of a story model."

    def handle(self, **options: Any) -> None:  # noqa: ARG002
        with transaction.atomic():
            passwords = {name: password for name in PEOPLE if (password := make_account(name))}
            story_project()
            if not Run.objects.filter(kind=Run.Kind.PRETRAIN, project__slug=STORIES).exists():
                form = runs.form_for(Run.Kind.PRETRAIN, {"project": STORIES, "tasks": TASKS})
                run = runs.start(require_valid(form))
                self.stdout.write(
                    f"A story model is queued for training; watch it at {run.get_absolute_url()} (as admin). "
                    f"When it is done, {TASKS} tasks open for the annotators."
                )
        if passwords:
            self.stdout.write(
                "Accounts (passwords are shown only once; `manage.py changepassword NAME` sets a new one):"
            )
            for name, password in passwords.items():
                self.stdout.write(f"  {name:<6} {password}   ({PEOPLE[name]})")
        else:
            self.stdout.write(f"Accounts: {', '.join(PEOPLE)}, with the passwords shown when they were made.")


def make_account(name: str) -> str | None:
    """Create an account in its group; returns its generated password, or None if the account exists."""
    if User.objects.filter(username=name).exists():
        return None
    password = secrets.token_urlsafe(9)
    user = User.objects.create_user(name, password=password, is_staff=PEOPLE[name] == "admins")
    user.groups.add(Group.objects.get(name=PEOPLE[name]))
    return password
