"""Periods for charts over time: days, weeks or months, by the length of the whole span."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.quality.agreement import Ints

MAX_DAYS = 21
MAX_WEEKS = 30
MONDAY = np.datetime64("1970-01-05")


@dataclass(frozen=True, eq=False)
class Periods:
    """Consecutive periods, from the first moment to the last."""

    unit: str
    """day, week or month."""
    starts: list[date]
    index: Ints
    """For each moment, the index of its period."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def labels(self) -> list[str]:
        """Labels for a chart's axis."""
        date_format = "%b %Y" if self.unit == "month" else "%-d %b"
        return [start.strftime(date_format) for start in self.starts]


def divide_into_periods(moments: npt.NDArray[np.datetime64]) -> Periods:
    """Divide the span of the moments, in any order, into periods."""
    if not len(moments):
        return Periods("day", [], np.empty(0, dtype=np.int64))
    days = moments.astype("datetime64[D]")
    span = int((days.max() - days.min()).astype(int)) + 1
    if span <= MAX_DAYS:
        first = days.min()
        index = (days - first).astype(np.int64)
        return Periods("day", _period_starts(first.astype(object), int(index.max()), 1), index)
    if span <= 7 * MAX_WEEKS:
        weeks = (days - MONDAY).astype(np.int64) // 7
        monday: Any = (MONDAY + 7 * weeks.min()).astype(object)
        index = weeks - weeks.min()
        return Periods("week", _period_starts(monday, int(index.max()), 7), index)
    months = days.astype("datetime64[M]").astype(np.int64)
    index = months - months.min()
    firsts = [
        np.datetime64(int(month), "M").astype(object) for month in range(months.min(), months.max() + 1)
    ]
    return Periods("month", firsts, index)


def _period_starts(first: date, last: int, days: int) -> list[date]:
    return [first + timedelta(days=days * number) for number in range(last + 1)]
