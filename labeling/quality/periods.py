"""Stretches of time that a figure is followed over: days, weeks or months, whichever can be read."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from labeling.quality.agreement import Ints

MOST_DAYS = 21
MOST_WEEKS = 30
MONDAY = np.datetime64("1970-01-05")


@dataclass(frozen=True, eq=False)
class Periods:
    """Periods without gaps, from the first answer's to the last one's."""

    unit: str
    """day, week or month."""
    starts: list[date]
    of: Ints
    """For each moment the number of its period."""

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def labels(self) -> list[str]:
        """What to write under a picture's axis."""
        shape = "%b %Y" if self.unit == "month" else "%-d %b"
        return [start.strftime(shape) for start in self.starts]


def periods_of(moments: npt.NDArray[np.datetime64]) -> Periods:
    """Periods for moments in any order."""
    if not len(moments):
        return Periods("day", [], np.empty(0, dtype=np.int64))
    days = moments.astype("datetime64[D]")
    span = int((days.max() - days.min()).astype(int)) + 1
    if span <= MOST_DAYS:
        first = days.min()
        of = (days - first).astype(np.int64)
        return Periods("day", _every(first.astype(object), int(of.max()), 1), of)
    if span <= 7 * MOST_WEEKS:
        weeks = (days - MONDAY).astype(np.int64) // 7
        monday: Any = (MONDAY + 7 * weeks.min()).astype(object)
        of = weeks - weeks.min()
        return Periods("week", _every(monday, int(of.max()), 7), of)
    months = days.astype("datetime64[M]").astype(np.int64)
    of = months - months.min()
    firsts = [
        np.datetime64(int(month), "M").astype(object) for month in range(months.min(), months.max() + 1)
    ]
    return Periods("month", firsts, of)


def _every(first: date, last: int, days: int) -> list[date]:
    return [first + timedelta(days=days * number) for number in range(last + 1)]
