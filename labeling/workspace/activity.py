"""One annotator's activity in recent weeks: answers per day, active days and streaks, and a chart of them.

For the annotator only. Days without work are never held against anyone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.contrib.auth.models import User
from django.utils import timezone

from labeling.workspace.pace import answer_counts_by_day

ACTIVITY_WEEKS = 8
"""Weeks shown on "My work", the current one included."""
CHART_DAYS = 28
"""Days in the chart of answers per day."""
SATURDAY = 5


@dataclass(frozen=True)
class Day:
    """A day in the site's time zone and the number of tasks answered on it."""

    date: date
    answers: int


def daily_activity(annotator: User, *, weeks: int = ACTIVITY_WEEKS) -> list[Day]:
    """Every day of the last `weeks` weeks, from a Monday up to today, with the annotator's answers."""
    today = timezone.localdate()
    first = today - timedelta(days=today.weekday() + 7 * (weeks - 1))
    counts = dict(answer_counts_by_day(annotator, since=first))
    dates = [first + timedelta(days=number) for number in range((today - first).days + 1)]
    return [Day(day, counts.get(day, 0)) for day in dates]


def group_by_week(days: Sequence[Day]) -> list[Sequence[Day]]:
    """The days split into weeks of seven; the last week may be shorter."""
    return [days[start : start + 7] for start in range(0, len(days), 7)]


def longest_streak(days: Sequence[Day]) -> int:
    """The longest streak of active days. Weekends and a single day off do not break a streak."""
    longest = streak = 0
    last: date | None = None
    for day in days:
        if day.answers:
            streak = streak + 1 if last is not None and _weekdays_between(last, day.date) <= 1 else 1
            longest, last = max(longest, streak), day.date
    return longest


def _weekdays_between(earlier: date, later: date) -> int:
    """The number of weekdays (Monday to Friday) strictly between two dates."""
    between = (earlier + timedelta(days=number) for number in range(1, (later - earlier).days))
    return sum(day.weekday() < SATURDAY for day in between)


# -- Chart of answers per day ------------------------------------------------------------------------------

WIDTH, HEIGHT = 560, 180
MARGIN_LEFT, MARGIN_RIGHT, MARGIN_TOP, MARGIN_BOTTOM = 34, 18, 10, 24


@dataclass(frozen=True)
class DailyAnswersChart:
    """A bar chart of answers per day, with a line for the daily goal. All values are SVG view box units."""

    days: Sequence[Day]
    goal: int | None = None

    width, height = WIDTH, HEIGHT
    plot = {"left": MARGIN_LEFT, "right": WIDTH - MARGIN_RIGHT, "bottom": HEIGHT - MARGIN_BOTTOM}

    @property
    def _y_max(self) -> int:
        """The top of the y axis: a round number above every bar and the goal."""
        highest = max(self.goal or 0, *(day.answers for day in self.days))
        halves = (factor * 10**power for power in range(9) for factor in (1, 2, 3, 5))
        step: int = next(half for half in halves if 2 * half >= highest)
        return 2 * step

    def _y(self, answers: float) -> float:
        plot_height = HEIGHT - MARGIN_TOP - MARGIN_BOTTOM
        return round(HEIGHT - MARGIN_BOTTOM - answers / self._y_max * plot_height, 1)

    @property
    def bars(self) -> list[dict[str, object]]:
        """A rectangle for each day with answers."""
        step = (WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / len(self.days)
        return [
            {
                "x": round(MARGIN_LEFT + (number + 0.18) * step, 1),
                "y": self._y(day.answers),
                "width": round(0.64 * step, 1),
                "height": round(HEIGHT - MARGIN_BOTTOM - self._y(day.answers), 1),
                "day": day,
            }
            for number, day in enumerate(self.days)
            if day.answers
        ]

    @property
    def y_ticks(self) -> list[tuple[float, int]]:
        """Positions and values of the ticks: zero, half and the top."""
        return [(self._y(value), value) for value in (0, self._y_max // 2, self._y_max)]

    @property
    def x_ticks(self) -> list[tuple[float, date]]:
        """Positions and dates of the Mondays."""
        step = (WIDTH - MARGIN_LEFT - MARGIN_RIGHT) / len(self.days)
        return [
            (round(MARGIN_LEFT + (number + 0.5) * step, 1), day.date)
            for number, day in enumerate(self.days)
            if day.date.weekday() == 0
        ]

    @property
    def goal_y(self) -> float | None:
        """The height of the goal line."""
        return self._y(self.goal) if self.goal else None

    @property
    def total(self) -> int:
        """The number of answers in the chart."""
        return sum(day.answers for day in self.days)
