"""The days of the last weeks as one person worked them, and two pictures of them.

Nothing here counts against anybody: a day without work is a day off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from labeling.workspace.pace import answers_by_day

WEEKS = 8
"""How far back the strip of days goes, this week included."""
DAYS_DRAWN = 28
SATURDAY = 5


@dataclass(frozen=True)
class Day:
    """A day in the site's time zone, and how many tasks were answered in it."""

    date: date
    answers: int


def days_of(annotator: User, *, weeks: int = WEEKS) -> list[Day]:
    """Every day from a Monday to today, that many weeks with this one, with the person's answers."""
    today = timezone.localdate()
    first = today - timedelta(days=today.weekday() + 7 * (weeks - 1))
    counts = dict(answers_by_day(annotator, since=first))
    dates = [first + timedelta(days=number) for number in range((today - first).days + 1)]
    return [Day(day, counts.get(day, 0)) for day in dates]


def weeks_of(days: Sequence[Day]) -> list[Sequence[Day]]:
    """The days by weeks, from a Monday on; the last week ends with the last day."""
    return [days[start : start + 7] for start in range(0, len(days), 7)]


def longest_row(days: Sequence[Day]) -> int:
    """The most days worked in a row. A weekend does not end a row, and neither does one day off."""
    longest = row = 0
    last: date | None = None
    for day in days:
        if day.answers:
            row = row + 1 if last is not None and _weekdays_between(last, day.date) <= 1 else 1
            longest, last = max(longest, row), day.date
    return longest


def _weekdays_between(earlier: date, later: date) -> int:
    """How many days from Monday to Friday lie between two dates, neither included."""
    between = (earlier + timedelta(days=number) for number in range(1, (later - earlier).days))
    return sum(day.weekday() < SATURDAY for day in between)


# -- Answers per day, drawn --------------------------------------------------------------------------------

WIDTH, HEIGHT = 560, 180
LEFT, RIGHT, TOP, BOTTOM = 34, 18, 10, 24


@dataclass(frozen=True)
class DayChart:
    """A bar for each day, and the goal where there is one. Template-ready: coordinates of the view box."""

    days: Sequence[Day]
    aim: int | None = None

    width, height = WIDTH, HEIGHT
    plot = {"left": LEFT, "right": WIDTH - RIGHT, "bottom": HEIGHT - BOTTOM}

    @property
    def _most(self) -> int:
        """The top of the axis: two whole steps that hold every bar and the goal."""
        highest = max(self.aim or 0, *(day.answers for day in self.days))
        halves = (factor * 10**power for power in range(9) for factor in (1, 2, 3, 5))
        step: int = next(half for half in halves if 2 * half >= highest)
        return 2 * step

    def _y(self, answers: float) -> float:
        return round(HEIGHT - BOTTOM - answers / self._most * (HEIGHT - TOP - BOTTOM), 1)

    @property
    def bars(self) -> list[dict[str, object]]:
        """A rectangle for each day with answers."""
        step = (WIDTH - LEFT - RIGHT) / len(self.days)
        return [
            {
                "x": round(LEFT + (number + 0.18) * step, 1),
                "y": self._y(day.answers),
                "width": round(0.64 * step, 1),
                "height": round(HEIGHT - BOTTOM - self._y(day.answers), 1),
                "day": day,
            }
            for number, day in enumerate(self.days)
            if day.answers
        ]

    @property
    def y_ticks(self) -> list[tuple[float, int]]:
        """None, half and the top."""
        return [(self._y(value), value) for value in (0, self._most // 2, self._most)]

    @property
    def x_ticks(self) -> list[tuple[float, date]]:
        """The Mondays."""
        step = (WIDTH - LEFT - RIGHT) / len(self.days)
        return [
            (round(LEFT + (number + 0.5) * step, 1), day.date)
            for number, day in enumerate(self.days)
            if day.date.weekday() == 0
        ]

    @property
    def goal_y(self) -> float | None:
        """Where the goal lies."""
        return self._y(self.aim) if self.aim else None

    @property
    def total(self) -> int:
        """All answers drawn."""
        return sum(day.answers for day in self.days)
