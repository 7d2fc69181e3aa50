"""What tests of several parts share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings


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
