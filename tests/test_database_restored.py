"""The tests' own database, put back after each test that commits."""

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from procrastinate.contrib.django import app
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinatePeriodicDefer

from tests import database

pytestmark = pytest.mark.django_db(transaction=True)


def rows_of(table: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY id")
        return list(cursor.fetchall())


def test_a_periodic_job_that_a_worker_left_waiting_is_gone() -> None:
    # The foreign key from its deferral to the job cannot be deferred.
    task = next(iter(app.periodic_registry.periodic_tasks.values()))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT procrastinate_defer_periodic_job_v2('default', NULL, NULL, %s, 0, 'a test', 0, '{}')",
            [task.task.name],
        )
    assert ProcrastinatePeriodicDefer.objects.filter(job__isnull=False).exists()
    database.restore()
    assert not ProcrastinateJob.objects.exists()
    assert not ProcrastinatePeriodicDefer.objects.exists()


def test_rows_that_migrations_made_come_back_with_their_relations() -> None:
    tables = ("auth_group", "auth_permission", "auth_group_permissions", "django_content_type")
    before = [rows_of(table) for table in tables]
    assert all(before)
    Group.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM auth_permission")
        cursor.execute("UPDATE django_content_type SET model = model || ' changed'")
    database.restore()
    assert [rows_of(table) for table in tables] == before
