"""Timing two ways of doing the same thing on a machine that others use too."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: a figure of each side (medians), and how many times as fast as the peer we are."""

    name: str
    what: str  # both sides, with their precision
    unit: str
    ours: float
    peer: float
    less_is_better: bool = False  # seconds, not amounts per second

    @property
    def ratio(self) -> float:
        return self.peer / self.ours if self.less_is_better else self.ours / self.peer


def in_turns(
    name: str, *, ours: Callable[[], object], peer: Callable[[], object], rounds: int
) -> tuple[float, float]:
    """Median seconds of a call of each side, of ``rounds`` calls.

    In turns, so that whatever else the machine does falls on both, and each goes first as often as the
    other. One call of each goes before, unmeasured: it pays for allocations and lazy imports.
    """
    sides = [("ours", ours), ("peer", peer)]
    seconds: dict[str, list[float]] = {side: [] for side, _ in sides}
    for number in range(rounds + 1):
        for side, call in sides if number % 2 else reversed(sides):
            begun = time.perf_counter()
            call()
            if number:
                seconds[side].append(time.perf_counter() - begun)
        progress(name, number, rounds)
    return median(seconds["ours"]), median(seconds["peer"])


def progress(name: str, number: int, total: int) -> None:
    """Say in place how far a comparison is; nothing where no person watches."""
    if sys.stderr.isatty():
        end = "\n" if number == total else ""
        print(f"\r  {name}: {number} of {total}", end=end, file=sys.stderr, flush=True)
