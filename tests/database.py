"""The tests' database: a clone of one that was migrated once, and put back as it was after each test.

A test in a transaction is rolled back. After one that commits, Django would truncate all tables, used or not,
and make all permissions again: half a second a test.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management import call_command
from django.db import connection

TEMPLATE = "test_template"
MIGRATED_BY = ("labeling", "training/models", "training/migrations", "feedback_site")
"""Folders whose code decides what a migrated database holds."""

SAVE = """
DROP SCHEMA IF EXISTS saved CASCADE;
CREATE SCHEMA saved;
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        EXECUTE format('CREATE TABLE saved.%1$I AS TABLE public.%1$I', name);
    END LOOP;
END $$;
CREATE PROCEDURE saved.restore() LANGUAGE plpgsql AS $$
DECLARE
    name text;
    all_tables text;
    changed text[];
    is_changed boolean;
    place integer;
BEGIN
    SELECT string_agg(format('public.%I', tablename), ', ') INTO all_tables
    FROM pg_tables WHERE schemaname = 'saved';
    EXECUTE 'LOCK TABLE ' || all_tables || ' IN SHARE ROW EXCLUSIVE MODE';  -- waits for those who still write
    -- Younger tables first: they refer to older ones, and not every foreign key can be deferred.
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND to_regclass(format('saved.%I', relname)) IS NOT NULL ORDER BY oid DESC LOOP
        EXECUTE format('SELECT EXISTS (TABLE public.%1$I EXCEPT ALL TABLE saved.%1$I)'
                       '    OR EXISTS (TABLE saved.%1$I EXCEPT ALL TABLE public.%1$I)', name) INTO is_changed;
        IF is_changed THEN
            changed := changed || name;
        END IF;
    END LOOP;
    FOREACH name IN ARRAY coalesce(changed, '{}') LOOP
        EXECUTE format('ALTER TABLE public.%I DISABLE TRIGGER USER', name);  -- some rows may not be deleted
    END LOOP;
    FOREACH name IN ARRAY coalesce(changed, '{}') LOOP
        EXECUTE format('DELETE FROM public.%I', name);
    END LOOP;
    FOR place IN REVERSE coalesce(array_length(changed, 1), 0) .. 1 LOOP
        EXECUTE format('INSERT INTO public.%1$I OVERRIDING SYSTEM VALUE TABLE saved.%1$I', changed[place]);
    END LOOP;
    SET CONSTRAINTS ALL IMMEDIATE;
    FOREACH name IN ARRAY coalesce(changed, '{}') LOOP
        EXECUTE format('ALTER TABLE public.%I ENABLE TRIGGER USER', name);
    END LOOP;
END $$;
"""


def clone_template(name: str) -> None:
    """Make the database `name`. The first process to ask migrates the template, if code has changed."""
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [TEMPLATE])
        cursor.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [TEMPLATE]
        )
        found, wanted = cursor.fetchone(), migrated_by()
        if found != (wanted,):
            cursor.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {TEMPLATE}")
            with connected_to(TEMPLATE):
                call_command("migrate", verbosity=0, interactive=False)
                with connection.cursor() as inside:
                    inside.execute(SAVE)
            cursor.execute(f"COMMENT ON DATABASE {TEMPLATE} IS '{wanted}'")
        drop(name)
        cursor.execute(f"CREATE DATABASE {connection.ops.quote_name(name)} TEMPLATE {TEMPLATE}")
        # Not worth a sync to the disk at each commit: should the machine fail, the tests begin again.
        cursor.execute(f"ALTER DATABASE {connection.ops.quote_name(name)} SET synchronous_commit = off")


def migrated_by() -> str:
    """A digest of the code that makes a migrated database."""
    digest = hashlib.sha256(SAVE.encode())
    files = [path for folder in MIGRATED_BY for path in (settings.BASE_DIR / folder).rglob("*.py")]
    for path in [settings.BASE_DIR / "requirements.txt", *sorted(files)]:
        digest.update(f"{path}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def connected_to(name: str) -> Iterator[None]:
    """Django's connection is one to the database `name`."""
    before = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = before


def drop(name: str) -> None:
    """Remove a database, whoever is connected: a process that a test stopped, or a browser's context."""
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"DROP DATABASE IF EXISTS {connection.ops.quote_name(name)} WITH (FORCE)")


def restore() -> None:
    """Put back what is changed since the migrations. Waits for those who still write."""
    with connection.cursor() as cursor:
        cursor.execute("CALL saved.restore()")
