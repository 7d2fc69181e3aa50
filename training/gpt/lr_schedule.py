"""The learning rate over a budget, and how much of the budget is spent."""

import math
import time
from collections.abc import Callable

from training.gpt.config import PretrainConfig


class Budget:
    """A budget in minutes, in steps, in tokens, or in several: whichever is nearer its end decides.

    ``spent`` are the seconds already used, where a training goes on; ``clock`` gives seconds.
    """

    def __init__(
        self,
        *,
        minutes: float,
        steps: int,
        tokens: int = 0,
        tokens_per_step: int = 1,
        spent: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seconds = minutes * 60
        # The last step may read more than what is left of the tokens, never less.
        self.limits = {"steps": steps, "tokens": -(-tokens // tokens_per_step)}
        self.clock = clock
        self.started = clock() - spent

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.started

    def progress(self, step: int) -> float:
        """Share of the budget spent once ``step`` steps are done, in 0..1."""
        by_time = self.elapsed / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_time, *(step / limit for limit in self.limits.values() if limit), 0.0))

    def exhausted(self, step: int) -> str | None:
        """What ran out after ``step`` steps: ``steps``, ``tokens``, ``minutes``, or None."""
        for name, limit in self.limits.items():
            if limit and step >= limit:
                return name
        return "minutes" if self.seconds and self.elapsed >= self.seconds else None


def learning_rate(progress: float, config: PretrainConfig) -> float:
    """The share of the peak learning rate at a share of the budget, both in 0..1.

    A straight rise (warm-up), then either a plateau and a straight fall at the end (warm-up, stable, decay;
    Hu et al. 2024), or half a cosine (Loshchilov and Hutter 2017), down to ``config.final_rate``.
    """
    if progress < config.warmup:
        return progress / config.warmup
    if config.schedule == "wsd":
        height = min(1.0, (1 - progress) / config.decay) if config.decay else 1.0
    else:
        height = 0.5 + 0.5 * math.cos(math.pi * (progress - config.warmup) / max(1 - config.warmup, 1e-9))
    return config.final_rate + (1 - config.final_rate) * height
