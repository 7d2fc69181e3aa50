"""A process that uses the embedded database of a home; the tests start it, send it commands, and kill it.

    python -m tests.setup.database_client HOME

Reads a command per line (its methods), answers with a line of JSON, and ends when its input does.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.db import connection

from feedback_site.embedded_postgres.pid_file import read_postmaster

home = Path(sys.argv[1])


def add_row() -> int:
    """Add a row; returns how many there are."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS kept (number integer)")
        cursor.execute("INSERT INTO kept VALUES (1)")
        cursor.execute("SELECT count(*) FROM kept")
        return int(cursor.fetchone()[0])


def reconnect() -> int:
    connection.close()
    return add_row()


def query_again() -> int:
    """Add a row on the open connection, which must not be a new one."""
    assert connection.connection is not None
    return add_row()


def ask(statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def postmaster_pid() -> int | None:
    found = read_postmaster(home / "postgres" / "data")
    return found.pid if found else None


def fork() -> int:
    """Fork a child that exits with Python's exit handlers; returns its status."""
    child = os.fork()
    if child == 0:
        sys.exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def make_test_database() -> str:
    """Make and destroy a test database as Django's test runner does."""
    name = connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    answer = str(ask("SELECT current_database()"))
    connection.creation.destroy_test_db("hone", verbosity=0)
    return f"{name} {answer}"


COMMANDS = {
    function.__name__: function
    for function in (add_row, reconnect, query_again, ask, postmaster_pid, fork, make_test_database)
}


def main() -> None:
    engine = {"ENGINE": "feedback_site.embedded_postgres", "NAME": "hone", "HOME": home}
    settings.configure(DATABASES={"default": engine})
    django.setup()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"answer": COMMANDS[name](*arguments)}
        except Exception as error:  # noqa: BLE001 - it is the answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
