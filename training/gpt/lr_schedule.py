"""The learning rate over a training's budget."""

import math

from training.gpt.config import PretrainConfig

_FIRST = 0.01
"""The smallest share of the peak in the warm-up: at a rate of 0 a step would be lost."""


def learning_rate(progress: float, config: PretrainConfig, *, after: float | None = None) -> float:
    """The learning rate of a step as a share of its peak, ``progress`` being the share of the budget spent
    before the step and ``after`` the one once it is done (left out: the same); all in 0..1.

    A linear warm-up, whose last step has the full rate, then either a plateau with a linear decay at the end
    (warmup-stable-decay; Hu et al. 2024) or half a cosine (Loshchilov and Hutter 2017), down to
    ``config.final_rate``.
    """
    after = progress if after is None else after
    if after < config.warmup:
        return max(after / config.warmup, _FIRST)
    progress = max(progress, config.warmup)
    if config.schedule == "wsd":
        height = min(1.0, (1 - progress) / config.decay) if config.decay else 1.0
    else:
        height = 0.5 + 0.5 * math.cos(math.pi * (progress - config.warmup) / max(1 - config.warmup, 1e-9))
    return config.final_rate + (1 - config.final_rate) * height
