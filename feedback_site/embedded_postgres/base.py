"""Django's PostgreSQL backend on the embedded server, which the first connection starts."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.db.backends.postgresql import base as postgresql
from psycopg import sql

from feedback_site.embedded_postgres.client import DatabaseClient
from feedback_site.embedded_postgres.cluster import SUPERUSER
from feedback_site.embedded_postgres.errors import EmbeddedPostgresError
from feedback_site.embedded_postgres.pid_file import PORT
from feedback_site.embedded_postgres.server_handle import server

# The server is starting, recovering from a crash, or was killed since we asked for its address: try again.
TRANSIENT_ERRORS = (
    "starting up",
    "in recovery mode",
    "not yet accepting",
    "shutting down",
    "refused",
    "No such file",
    "reset by",
    "closed the connection",
)
RETRY_SECONDS = 60


class DatabaseWrapper(postgresql.DatabaseWrapper):
    """Connects to the server of the folder in the setting HOME; makes the database NAME if it is missing."""

    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        home = self.settings_dict.get("HOME")
        if not home:
            raise ImproperlyConfigured("DATABASES needs HOME, the folder for the embedded database's files.")
        try:
            address = server(Path(home)).ensure_running()
        except EmbeddedPostgresError as error:
            raise OperationalError(str(error)) from error
        params: dict[str, Any] = super().get_connection_params()
        return {**params, "host": str(address), "port": PORT, "user": SUPERUSER}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        deadline = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                return super().get_new_connection(conn_params)
            except psycopg.OperationalError as error:
                name = conn_params.get("dbname")
                if f'database "{name}" does not exist' in str(error):
                    create_database(conn_params)
                elif any(text in str(error) for text in TRANSIENT_ERRORS) and time.monotonic() < deadline:
                    time.sleep(0.05)
                    conn_params = {**conn_params, "host": self.get_connection_params()["host"]}
                else:
                    raise


def create_database(conn_params: dict[str, Any]) -> None:
    """Make the database that the settings name, unless another process has made it meanwhile."""
    address = {key: conn_params[key] for key in ("host", "port", "user")}
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(conn_params["dbname"]))
    with (
        suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation),
        psycopg.connect(**address, dbname="postgres", autocommit=True) as connection,
    ):
        connection.execute(statement)
