"""Metrics of a batch, by the names that TRL uses.

P prompts with K samples each, N = P x K sequences of at most L tokens. Averaged over processes, means over
sequences and groups are exact; fractions of tokens and deviations are approximate.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from training.rlhf.kl import k3
from training.rlhf.tuning.rollouts import Rollouts


def batch_metrics(
    rollouts: Rollouts, *, scores: Tensor, quality: Tensor, rewards: Tensor, kl: Tensor, k: int
) -> dict[str, Tensor]:
    """Metrics of rollouts and rewards.

    `scores` [N] from the scorer, `quality` [N] minus the penalty for a missing end, `rewards` [N] minus the
    KL penalty if it is in the reward, `kl` [N, L] of each token.

    Per sequence, in nats: `kl`, `kl_std` over the batch, `sequence_entropy` (see `entropy_per_token`).
    Per group: `reward_std`, `frac_reward_zero_std` (the share of groups whose samples all have one quality,
    so that nothing can be learned from them), `group/best` (the best score of each), `group/distinct` (the
    share of different texts).
    """
    mask = rollouts.generation.mask
    surprise = -rollouts.generation.logprobs.sum(dim=1)  # [N]: -log p of what was sampled
    lengths = mask.sum(dim=1).float()  # [N]
    sequence_kl = kl.sum(dim=1)  # [N]
    qualities = quality.view(-1, k)  # [P, K]
    texts = rollouts.texts[1]
    distinct = [len(set(texts[first : first + k])) / k for first in range(0, len(texts), k)]
    return {
        "reward": rewards.mean(),
        "reward_std": rewards.view(-1, k).std(dim=1, correction=min(1, k - 1)).mean(),
        "frac_reward_zero_std": (qualities.amax(dim=1) == qualities.amin(dim=1)).float().mean(),
        "score": scores.mean(),
        "group/best": scores.view(-1, k).amax(dim=1).mean(),
        "group/distinct": torch.tensor(distinct).mean(),
        "kl": sequence_kl.mean(),
        "kl_std": sequence_kl.std(correction=0),
        # Unbiased for the entropy, and free.
        "sequence_entropy": surprise.mean(),
        "completions/mean_length": lengths.mean(),
        "completions/clipped_ratio": 1 - rollouts.generation.ended.float().mean(),
    }


def entropy_per_token(metrics: Mapping[str, float]) -> float:
    """Entropy per token, in nats, of the whole batch."""
    return metrics["sequence_entropy"] / metrics["completions/mean_length"]


def update_metrics(logprobs: Tensor, *, sampled: Tensor, mask: Tensor, clip: float) -> dict[str, Tensor]:
    """Metrics of a further update from one batch, whose policy differs from the sampling policy. All [N, L].

    `clipped_tokens` is the fraction of tokens with a ratio beyond the clip, `kl_of_updates` the KL to the
    sampling policy in nats per sequence.
    """
    moved = (logprobs - sampled)[mask].expm1().abs()
    return {
        "clipped_tokens": (moved > clip).float().mean(),
        "kl_of_updates": k3(logprobs=sampled, reference_logprobs=logprobs).sum(dim=1).mean(),
    }


def value_metrics(values: Tensor, *, returns: Tensor, mask: Tensor, norm: Tensor) -> dict[str, Tensor]:
    """Metrics of the value network before its updates from this batch. [N, L]

    `value/explained_variance` is 1 for perfect values, 0 for the mean of the returns.
    """
    known, missed = returns[mask], (returns - values)[mask]
    return {
        "value/loss": missed.square().mean() / 2,
        "value/explained_variance": 1 - missed.var(correction=0) / known.var(correction=0).clamp_min(1e-8),
        "value/gradient_norm": norm,
    }
