"""Advantage estimators: how much better than expected each sample, or each of its tokens, turned out.

Pure functions; none keeps state, none touches a gradient. P prompts with K samples each, N = P x K sequences
of at most L tokens. `rloo`, `reinforce` and `grpo` see a sequence as one action: from rewards [P, K] and a
scalar baseline of earlier batches they make advantages [P, K], which every token of a sequence shares. `gae`
sees each token as an action, and needs values.

Whatever part of the KL is in the reward is in these rewards already.
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


def update_baseline(baseline: Tensor | None, mean: Tensor, *, decay: float = 0.9) -> Tensor:
    """The next moving average, of the mean reward of each batch; the first one begins it. Scalar."""
    return mean if baseline is None else torch.lerp(mean, baseline, decay)


def grpo(rewards: Tensor, baseline: Tensor) -> Tensor:  # noqa: ARG001
    """Each sample against the mean of its group, divided by a constant: that of the reward, which is 1.

    The constant stands where `grpo_published` has two divisors that bias it (Liu et al. 2025, "Dr. GRPO").
    The expected gradient is the true one times (k-1)/k, the sample itself being in the mean. A KL in the
    loss is not, so it weighs k/(k-1) times as much.
    """
    return rewards - rewards.mean(dim=1, keepdim=True)


def grpo_published(rewards: Tensor, baseline: Tensor) -> Tensor:
    """As Shao et al. 2024: divided by the group's deviation, so that groups of little spread count as much.

    The other divisor of the publication is each sequence's own length: see `expand_to_tokens`.
    """
    return grpo(rewards, baseline) / (rewards.std(dim=1, keepdim=True) + 1e-4)


def expand_to_tokens(advantages: Tensor, mask: Tensor, *, by_length: bool = False) -> Tensor:
    """The advantage of each sequence at each of its tokens, 0 outside the mask. [P, K] and [N, L] -> [N, L]

    `by_length` divides it among them, which pays short good texts and long bad ones.
    """
    spread = advantages.reshape(-1, 1) * mask
    return spread / mask.sum(dim=1, keepdim=True) if by_length else spread


def token_rewards(rewards: Tensor, kl_penalties: Tensor, mask: Tensor) -> Tensor:
    """What each token brings: less its charge, and at the last one the reward of the whole. [N, L]

    `rewards` [N] of the sequences, `kl_penalties` [N, L] such as beta k1, `mask` [N, L].
    """
    last = mask.sum(dim=1) - 1  # [N]
    paid = -kl_penalties.masked_fill(~mask, 0.0)
    return paid.scatter_add(1, last[:, None], rewards[:, None].to(paid.dtype))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, decay: float) -> Tensor:
    """Generalised advantage estimates, undiscounted (Schulman et al. 2016). [N, L], 0 outside the mask.

    `rewards` [N, L] of each token, `values` [N, L] of the text before it. A text is worth nothing after its
    last token, whether it ended or was cut: its score has been paid there. With
    delta_t = r_t + V_{t+1} - V_t, A_t = sum over s >= t of decay^(s-t) delta_s: one product with a triangle.
    The returns that the values should learn are A + V.
    """
    values = values.masked_fill(~mask, 0.0)
    following = torch.cat((values[:, 1:], torch.zeros_like(values[:, :1])), dim=1)
    deltas = (rewards + following - values).masked_fill(~mask, 0.0)  # [N, L]
    place = torch.arange(mask.shape[1], device=mask.device)
    distance = place[:, None] - place[None, :]  # [s, t]
    weights = torch.where(distance >= 0, decay ** distance.clamp_min(0).to(deltas.dtype), 0.0)
    return (deltas @ weights).masked_fill(~mask, 0.0)


def moments(values: Tensor, mask: Tensor) -> Tensor:
    """Number, sum and sum of squares of the values in the mask: what processes add up to whiten alike. [3]"""
    inside = values[mask].double()
    return torch.stack(
        (torch.tensor(float(len(inside)), device=inside.device), inside.sum(), inside @ inside)
    )


def whiten(values: Tensor, mask: Tensor, moments: Tensor, *, scaled: bool = True) -> Tensor:
    """Values with mean 0 and deviation 1 over all that the moments count; 0 outside the mask. [N, L]

    Not `scaled`, they keep their deviation: beside a KL in the loss, dividing by it would change the price of
    the KL, from batch to batch.
    """
    count, total, squares = moments.to(values.dtype).unbind()
    mean = total / count
    deviation = (squares / count - mean.square()).clamp_min(1e-8).sqrt() if scaled else 1.0
    return ((values - mean) / deviation).masked_fill(~mask, 0.0)


ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rloo": rloo,
    "reinforce": reinforce,
    "grpo": grpo,
}
