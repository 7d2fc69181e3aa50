"""What all commands of the site share: a database with its tables in it."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

# Any number that no other program on the same database takes for its advisory locks.
_LOCK = 7_204_611

_ready: set[str] = set()


class SiteCommand(BaseCommand):
    """A command that can be the first one ever typed."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            set_up_database()
        except OperationalError as error:
            reason = str(error).splitlines()[0]
            raise CommandError(f"the database does not answer: {reason}; see DATABASE_URL.") from None
        return super().execute(*args, **options)


def set_up_database() -> None:
    """Make the tables that the embedded database lacks.

    A database of the user's own is left alone: where it lacks some, CommandError says how to make them.
    """
    if settings.DATABASES["default"]["NAME"] in _ready:
        return
    with connection.cursor() as cursor:
        # One at a time: several processes may come to a new database at once.
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            if is_behind():
                if not settings.DATABASES["default"]["ENGINE"].endswith("embedded_postgres"):
                    raise CommandError("the database lacks tables of this version; run `manage.py migrate`.")
                call_command("migrate", interactive=False, verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    _ready.add(settings.DATABASES["default"]["NAME"])


def is_behind() -> bool:
    """Whether there are migrations that the database has not had."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
