"""The log of a run: its stages, log messages and warnings of the code, and how it ended."""

import logging
import threading
from types import TracebackType
from typing import Self

from django.db import Error as DatabaseError
from django.utils import timezone

from training.execution.json_safe import json_safe
from training.models import LogLine, Run

LOGGERS = ("training", "py.warnings")
MAX_LINES = 1_000
"""Lines of one attempt: repeated messages must not fill the database."""

MAX_LINE_LENGTH = 20_000
"""Characters of a line; only the end of a longer one, such as a deep traceback, is kept."""


class RunLog(logging.Handler):
    """Collects messages of the training loggers and Python warnings while open, besides its own lines.

    Lines are kept in memory until `write`, which any thread may call.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(logging.INFO)
        self.run = run
        self._lines: list[LogLine] = []
        self._count = 0
        self._adding, self._writing = threading.Lock(), threading.Lock()

    def __enter__(self) -> Self:
        logging.captureWarnings(capture=True)
        for name in LOGGERS:
            logging.getLogger(name).addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(self)
        logging.captureWarnings(capture=False)

    def emit(self, record: logging.LogRecord) -> None:
        """Add a log record, including its traceback."""
        level = LogLine.Level.INFO
        if record.levelno >= logging.WARNING:
            level = LogLine.Level.ERROR if record.levelno >= logging.ERROR else LogLine.Level.WARNING
        self.add(self.format(record).strip(), level=level)

    def add(self, text: str, *, level: LogLine.Level = LogLine.Level.INFO) -> None:
        """Add a line."""
        with self._adding:
            self._count += 1
            # Errors are kept even above the limit.
            if level != LogLine.Level.ERROR and self._count >= MAX_LINES:
                if self._count > MAX_LINES:
                    return
                text, level = (
                    "The log has reached its limit; further lines are left out.",
                    LogLine.Level.WARNING,
                )
            self._lines.append(
                LogLine(
                    run=self.run,
                    attempt=max(self.run.attempts, 1),
                    level=level,
                    text=json_safe(text)[-MAX_LINE_LENGTH:],
                    at=timezone.now(),
                )
            )

    def write(self) -> None:
        """Write pending lines to the database; they are kept if that fails."""
        with self._writing:
            with self._adding:
                lines, self._lines = self._lines, []
            try:
                LogLine.objects.bulk_create(lines)
            except DatabaseError:
                with self._adding:
                    self._lines = lines + self._lines
                raise
