"""Writes that survive a restart of the database, for as long as a run's heartbeat does."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connection

Result = TypeVar("Result")

PATIENCE = 60.0
"""Seconds for which an attempt waits for the database, in its heartbeat as in its other writes."""

PAUSE = 1.0
"""Seconds between two tries."""


def retry_while_database_is_away(write: Callable[[], Result], *, patience: float = PATIENCE) -> Result:
    """Call `write`, again if the connection to the database is lost, until it succeeds or patience ends.

    A try that failed may have been committed: `write` must do no harm when it is repeated. Inside a
    transaction nothing is repeated, as the transaction is lost as a whole: its caller repeats it.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block or time.monotonic() > deadline:
                raise
            connection.close()
            time.sleep(PAUSE)
