"""Writing many rows at once: PostgreSQL's COPY, with keys that are taken from the sequence beforehand."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models


def next_keys(model: type[models.Model], count: int) -> list[int]:
    """New primary keys, in ascending order."""
    if not count:
        return []
    table = model._meta.db_table  # noqa: SLF001 - Django's public Meta API
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count]
        )
        return [int(key) for (key,) in cursor.fetchall()]


def copy_rows(table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write the rows; `table` and `columns` are names of ours, never from a file."""
    names = ", ".join(f'"{column}"' for column in columns)
    with (
        connection.cursor() as cursor,
        cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy,
    ):
        for row in rows:
            copy.write_row(row)


def fetch(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []
