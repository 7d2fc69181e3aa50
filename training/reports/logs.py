"""The last lines of a run's log, as its page shows them."""

from dataclasses import dataclass

from training.models import LogLine, Run

TAIL = 200
"""Lines that a page shows at once."""


@dataclass(frozen=True)
class Tail:
    """Lines in the order in which they were said; `last` is where the next ones begin."""

    lines: list[LogLine]
    last: int


def tail(run: Run, *, after: int = 0) -> Tail:
    """The last lines of those said after the line `after`."""
    latest = run.log.filter(pk__gt=after).order_by("-pk")[:TAIL]
    lines = list(latest)[::-1]
    return Tail(lines, last=lines[-1].pk if lines else after)
