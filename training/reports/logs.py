"""The last lines of a run's log."""

from dataclasses import dataclass

from training.models import LogLine, Run

MAX_LINES = 200
"""Lines that a page shows at most."""


@dataclass(frozen=True)
class LogTail:
    """Lines in order; `last` is the id to continue after."""

    lines: list[LogLine]
    last: int


def log_tail(run: Run, *, after: int = 0) -> LogTail:
    """The last lines among those after the line with the id `after`."""
    latest = run.log.filter(pk__gt=after).order_by("-pk")[:MAX_LINES]
    lines = list(latest)[::-1]
    return LogTail(lines, last=lines[-1].pk if lines else after)
