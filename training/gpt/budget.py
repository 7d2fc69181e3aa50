"""A training's budget in time, steps and tokens, and how much of it is spent."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainingBudget:
    """What a training may use; the limit that is reached first ends it, and 0 means no limit."""

    minutes: float = 0.0
    steps: int = 0
    tokens: int = 0
    tokens_per_step: int = 1


class BudgetTracker:
    """How much of a budget is spent.

    ``seconds_spent`` were used before, by a training that is resumed; ``clock`` gives seconds.
    """

    def __init__(
        self,
        budget: TrainingBudget,
        *,
        seconds_spent: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_seconds = budget.minutes * 60
        # The last step may read more tokens than are left, never fewer.
        self.max_steps = {"steps": budget.steps, "tokens": -(-budget.tokens // budget.tokens_per_step)}
        self.clock = clock
        self.started = clock() - seconds_spent

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    def progress(self, step: int) -> float:
        """Share of the budget spent once ``step`` steps are done, in 0..1."""
        by_time = self.elapsed / self.max_seconds if self.max_seconds else 0.0
        return min(1.0, max(by_time, *(step / limit for limit in self.max_steps.values() if limit), 0.0))

    def stop_reason(self, step: int) -> str | None:
        """The limit reached after ``step`` steps: ``steps``, ``tokens`` or ``minutes``; None if none is."""
        for name, limit in self.max_steps.items():
            if limit and step >= limit:
                return name
        return "minutes" if self.max_seconds and self.elapsed >= self.max_seconds else None
