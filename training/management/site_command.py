"""Base class of the site's commands: makes sure that the database has its tables."""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

# Arbitrary, but different from other advisory locks on the same database.
_LOCK = 7_204_611

_ready: set[str] = set()


class SiteCommand(BaseCommand):
    """A command that sets up the embedded database if necessary, so that it can be the first one executed."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            set_up_database()
        except OperationalError as error:
            reason = str(error).splitlines()[0]
            raise CommandError(f"the database does not answer: {reason}; see DATABASE_URL.") from None
        return super().execute(*args, **options)


def set_up_database() -> None:
    """Migrate the embedded database if it is behind.

    Any other database is not changed: if it is behind, CommandError says how to migrate it.
    """
    if settings.DATABASES["default"]["NAME"] in _ready:
        return
    with connection.cursor() as cursor:
        # With a lock: several processes may start with a new database at the same time.
        cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            if is_behind():
                if not settings.DATABASES["default"]["ENGINE"].endswith("embedded_postgres"):
                    raise CommandError("the database has unapplied migrations; run `manage.py migrate`.")
                call_command("migrate", interactive=False, verbosity=0)
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    _ready.add(settings.DATABASES["default"]["NAME"])


def is_behind() -> bool:
    """Whether the database has unapplied migrations."""
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))
