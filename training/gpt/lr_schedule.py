"""The learning rate over a training's budget."""

import math

from training.gpt.config import PretrainConfig


def learning_rate(progress: float, config: PretrainConfig) -> float:
    """The learning rate as a share of its peak, after a share of the budget; both in 0..1.

    A linear warm-up, then either a plateau with a linear decay at the end (warmup-stable-decay; Hu et al.
    2024) or half a cosine (Loshchilov and Hutter 2017), down to ``config.final_rate``.
    """
    if progress < config.warmup:
        return progress / config.warmup
    if config.schedule == "wsd":
        height = min(1.0, (1 - progress) / config.decay) if config.decay else 1.0
    else:
        height = 0.5 + 0.5 * math.cos(math.pi * (progress - config.warmup) / max(1 - config.warmup, 1e-9))
    return config.final_rate + (1 - config.final_rate) * height
