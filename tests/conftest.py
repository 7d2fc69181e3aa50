"""What tests of several parts share."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.conf import settings as site_settings
from django.db import connection
from django.test import TransactionTestCase
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from pytest_django import DjangoDbBlocker, Settings

from tests import database

# How quick a machine is decides about no test.
hypothesis_settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> None:
    """Real hashing is slow on purpose: a second for each person of each test."""
    site_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """A database for this process, whose tests find it as the migrations left it."""
    name = connection.creation._get_test_db_name()  # type: ignore[attr-defined]
    with django_db_blocker.unblock():
        database.clone_template(name)
        connection.settings_dict["NAME"] = site_settings.DATABASES["default"]["NAME"] = name
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda _: database.restore())
        yield
    with django_db_blocker.unblock():
        connection.close()
        database.drop(name)


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
def midday(settings: Settings) -> None:
    """The site is where it is about noon now, so that no day ends during the test."""
    hour = datetime.now(UTC).hour
    settings.TIME_ZONE = f"Etc/GMT{hour - 12:+d}"  # whose sign is that of POSIX: +5 is five hours behind UTC
