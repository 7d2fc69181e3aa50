"""Any command may be the first one that is ever typed."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from tests.setup.conftest import PROJECT, environment


def manage(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env={**environment(Path(variables["HONE_HOME"])), **variables},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_several_at_once_make_the_embedded_database(first_commands: tuple[Path, list[str]]) -> None:
    message = "CommandError: --policy: there is no policy yet; `manage.py pretrain` makes the first."
    assert first_commands[1] == [message, message]


@pytest.mark.django_db
def test_a_database_given_by_url_is_not_changed(tmp_path: Path) -> None:
    given = connection.get_connection_params()
    with psycopg.connect(
        host=given["host"], user=given["user"], dbname=given["dbname"], autocommit=True
    ) as admin:
        admin.execute("CREATE DATABASE empty_of_hone")
        try:
            url = f"postgres://{given['user']}@/empty_of_hone?host={given['host']}"
            ended = manage("generate", HONE_HOME=str(tmp_path), DATABASE_URL=url)
            assert ended.stderr.splitlines()[-1] == (
                "CommandError: the database has unapplied migrations; run `manage.py migrate`."
            )
        finally:
            admin.execute("DROP DATABASE empty_of_hone WITH (FORCE)")
