"""Advantage estimators: how much better than expected each sample or token is.

Pure functions without state and gradient. P prompts with K samples each, N = P x K sequences of at most L
tokens. `rloo`, `reinforce` and `grpo` treat a sequence as one action: from rewards [P, K] and a scalar
baseline of earlier batches they compute advantages [P, K], equal for all tokens of a sequence. `gae` treats
each token as an action, and needs values.

The rewards include the KL penalty, if it is in the reward.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def rloo(rewards: Tensor, baseline: Tensor) -> Tensor:  # noqa: ARG001 -- the group is the baseline
    """Each sample minus the mean of the others of its prompt, k/(k-1) (R_i - mean).

    Unbiased, because a sample's baseline does not depend on the sample (Ahmadian et al. 2024).
    """
    k = rewards.shape[1]
    return (rewards - rewards.mean(dim=1, keepdim=True)) * (k / (k - 1))


def reinforce(rewards: Tensor, baseline: Tensor) -> Tensor:
    """Each sample minus a moving average of the rewards of earlier batches. Williams 1992."""
    return rewards - baseline


def update_baseline(baseline: Tensor | None, mean: Tensor, *, decay: float = 0.9) -> Tensor:
    """The moving average of the batches' mean rewards; starts at the first. Scalar."""
    return mean if baseline is None else torch.lerp(mean, baseline, decay)


def grpo(rewards: Tensor, baseline: Tensor) -> Tensor:  # noqa: ARG001
    """Each sample minus the mean of its group, divided by a constant, 1.

    `grpo_published` has two other divisors, which bias it (Liu et al. 2025, "Dr. GRPO"). The expected
    gradient is the true one times (k-1)/k, since the mean includes the sample itself. A KL in the loss is not
    scaled so, and weighs k/(k-1) times as much.
    """
    return rewards - rewards.mean(dim=1, keepdim=True)


def grpo_published(rewards: Tensor, baseline: Tensor) -> Tensor:
    """As Shao et al. 2024: divided by the group's deviation, so that all groups count equally.

    The other published divisor is the length of each sequence: see `expand_to_tokens`.
    """
    return grpo(rewards, baseline) / (rewards.std(dim=1, keepdim=True) + 1e-4)


def expand_to_tokens(advantages: Tensor, mask: Tensor, *, by_length: bool = False) -> Tensor:
    """The advantage of each sequence at each of its tokens, 0 outside the mask. [P, K] and [N, L] -> [N, L]

    `by_length` divides it by the number of tokens, which favours short good texts and long bad ones.
    """
    expanded = advantages.reshape(-1, 1) * mask
    return expanded / mask.sum(dim=1, keepdim=True) if by_length else expanded


def token_rewards(rewards: Tensor, kl_penalties: Tensor, mask: Tensor) -> Tensor:
    """The reward of each token: minus its KL penalty, and at the last one the sequence's reward. [N, L]

    `rewards` [N] of the sequences, `kl_penalties` [N, L] such as beta k1, `mask` [N, L].
    """
    last = mask.sum(dim=1) - 1  # [N]
    rewards_by_token = -kl_penalties.masked_fill(~mask, 0.0)
    return rewards_by_token.scatter_add(1, last[:, None], rewards[:, None].to(rewards_by_token.dtype))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, decay: float) -> Tensor:
    """Generalised advantage estimates, undiscounted (Schulman et al. 2016). [N, L], 0 outside the mask.

    `rewards` [N, L] of each token, `values` [N, L] of the text before it. The value after the
    last token is 0, whether the text ended or was cut. With
    delta_t = r_t + V_{t+1} - V_t, A_t = sum over s >= t of decay^(s-t) delta_s: one product with a triangle.
    The returns, which are the targets of the values, are A + V.
    """
    values = values.masked_fill(~mask, 0.0)
    following = torch.cat((values[:, 1:], torch.zeros_like(values[:, :1])), dim=1)
    deltas = (rewards + following - values).masked_fill(~mask, 0.0)  # [N, L]
    place = torch.arange(mask.shape[1], device=mask.device)
    distance = place[:, None] - place[None, :]  # [s, t]
    weights = torch.where(distance >= 0, decay ** distance.clamp_min(0).to(deltas.dtype), 0.0)
    return (deltas @ weights).masked_fill(~mask, 0.0)


def masked_moments(values: Tensor, mask: Tensor) -> Tensor:
    """Number, sum and sum of squares of the values in the mask, to be averaged over processes. [3]"""
    inside = values[mask].double()
    return torch.stack(
        (torch.tensor(float(len(inside)), device=inside.device), inside.sum(), inside @ inside)
    )


def whiten(values: Tensor, mask: Tensor, moments: Tensor, *, scaled: bool = True) -> Tensor:
    """Values with mean 0 and deviation 1 according to the moments; 0 outside the mask. [N, L]

    If not `scaled`, they keep their deviation: with a KL in the loss, dividing by it would change the KL
    coefficient from batch to batch.
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
