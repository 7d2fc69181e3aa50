"""What tests of several parts share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as site_settings
from django.db import connection
from pytest_django import DjangoDbBlocker, Settings

from tests.processes import eventually


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """Real hashing is slow on purpose: a second for each person of each test."""
    site_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """The test database. It can only go once nobody uses it: neither a process that a test stopped, nor the
    connection of a context that ended without closing it, as those around a browser do."""
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        # Not worth a sync to the disk at each commit: should the machine fail, the tests begin again.
        name = connection.ops.quote_name(connection.get_connection_params()["dbname"])
        cursor.execute(f"ALTER DATABASE {name} SET synchronous_commit = off; SET synchronous_commit = off")
    yield
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        eventually(lambda: cursor.execute(f"SELECT 1 {others}").fetchone() is None, seconds=5)
        cursor.execute(f"SELECT pg_terminate_backend(pid) {others}")


@pytest.fixture
def own_artifacts(settings: Settings, tmp_path: Path) -> None:
    """The test's files lie in a folder of its own, where a process with HONE_HOME=tmp_path finds them."""
    settings.RUN_FOLDERS = tmp_path / "runs"
    settings.CORPORA = tmp_path / "corpora"
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "artifacts"},
        },
    }


@pytest.fixture
def no_jobs_left(transactional_db: None) -> Iterator[None]:
    """The queue's tables are not Django's, so its flush passes them by."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers, procrastinate_events CASCADE")
