"""The learning rate over a budget, and how much of the budget is spent."""

import time

from training.gpt.config import PretrainConfig


class Budget:
    """A budget in minutes, in steps, or in both: whichever is nearer its end decides.

    ``spent`` are the seconds already used, where a training goes on.
    """

    def __init__(self, *, minutes: float, steps: int, spent: float = 0.0) -> None:
        self.seconds = minutes * 60
        self.steps = steps
        self.started = time.monotonic() - spent

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    def progress(self, step: int) -> float:
        """Share of the budget spent once ``step`` steps are done, in 0..1."""
        by_time = self.elapsed / self.seconds if self.seconds else 0.0
        by_steps = step / self.steps if self.steps else 0.0
        return min(1.0, max(by_time, by_steps))

    def exhausted(self, step: int) -> str | None:
        """What ran out after ``step`` steps: ``steps``, ``minutes``, or None."""
        if self.steps and step >= self.steps:
            return "steps"
        return "minutes" if self.seconds and self.elapsed >= self.seconds else None


def learning_rate(progress: float, config: PretrainConfig) -> float:
    """Warm-up, stable, decay: a straight rise, a plateau, a straight fall to 0 at the end of the budget."""
    rise = progress / config.warmup if config.warmup else 1.0
    fall = (1 - progress) / config.decay if config.decay else 1.0
    return config.learning_rate * max(0.0, min(1.0, rise, fall))
