"""Advantage estimators: pure functions of rewards, one row per prompt, one column per sample of it.

Each takes rewards [P, K] with the KL term already in them, and a scalar baseline from earlier batches, and
gives advantages [P, K]. None keeps state, none touches a gradient.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def rloo(rewards: Tensor, baseline: Tensor) -> Tensor:  # noqa: ARG001 -- needs no baseline but the group's
    """Each sample against the mean of its siblings: R_i - mean of the others = k/(k-1) (R_i - mean).

    Unbiased, because a sample's baseline does not depend on the sample (Ahmadian et al. 2024).
    """
    k = rewards.shape[1]
    return (rewards - rewards.mean(dim=1, keepdim=True)) * (k / (k - 1))


def reinforce(rewards: Tensor, baseline: Tensor) -> Tensor:
    """Each sample against a moving average of the rewards of earlier batches. Williams 1992."""
    return rewards - baseline


def move_baseline(baseline: Tensor | None, rewards: Tensor, *, decay: float = 0.9) -> Tensor:
    """The next moving average; the first batch's own mean begins it. Scalar."""
    mean = rewards.mean()
    return mean if baseline is None else torch.lerp(mean, baseline, decay)


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"rloo": rloo, "reinforce": reinforce}
