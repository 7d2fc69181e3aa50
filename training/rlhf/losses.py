"""Loss functions of reward models, policies and value networks. Pure."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.rlhf.kl import k2


def bradley_terry_loss(difference: Tensor, *, margin: Tensor, tie: Tensor) -> Tensor:
    """-log sigma(r_chosen - r_rejected - margin); for a tie, the mean of both. [C] -> [C], in nats.

    `difference` is r_chosen - r_rejected, `margin` how much better the annotator rated it, `tie` a bool
    mask; shapes broadcast. The minimum of a tie, log 2, is at equal rewards.
    """
    preferred = logsigmoid(difference - margin)
    tied = (logsigmoid(difference) + logsigmoid(-difference)) / 2
    return -tied.where(tie, preferred)


def plackett_luce_loss(rewards: Tensor, *, first: Tensor, among: Tensor) -> Tensor:
    """-log of the probability that one of `first` is chosen `among` others. [S, K, M] -> [S, M], in nats.

    `rewards` of the K items of each of S choices by M members; `first` and `among` [S, K] are bool masks,
    `first` a subset of `among`. The losses of a ranking's choices, times their weights, sum to its
    Plackett-Luce loss; see `rankings.plackett_luce_choices`.
    """
    best = (rewards * first[..., None]).sum(dim=1) / first.sum(dim=1)[:, None]
    return rewards.masked_fill(~among[..., None], -torch.inf).logsumexp(dim=1) - best


def score_loss(rewards: Tensor, *, scores: Tensor) -> Tensor:
    """Half the squared error of rewards as estimates of standardised scores. Any shape, elementwise.

    The negative log-likelihood, up to a constant, of scores with a deviation of 1 around the reward.
    """
    return (rewards - scores).square() / 2


def policy_gradient_loss(logprobs: Tensor, mask: Tensor, advantages: Tensor) -> Tensor:
    """-mean over sequences of the sum over tokens of advantage x log-probability. Scalar.

    `logprobs` [N, L] with gradient, `mask` [N, L] true up to and including the end of text, `advantages`
    [N, L] constant. Not divided by the length, which would bias it. For the first update from a
    batch, the ratio to the sampling policy is 1, and `clipped_policy_loss` has the same gradient.
    """
    return -(advantages.detach() * logprobs).masked_fill(~mask, 0.0).sum(dim=1).mean()


def clipped_policy_loss(
    logprobs: Tensor, *, sampled: Tensor, mask: Tensor, advantages: Tensor, clip: float
) -> Tensor:
    """PPO's clipped surrogate for further updates from one batch: -mean of min(ratio A, clipped ratio A).

    Scalar; Schulman et al. 2017. `sampled` [N, L] are the log-probabilities of sampling. A token whose ratio
    is beyond 1 +- clip in the direction of its advantage has no gradient.
    """
    ratio = (logprobs - sampled).masked_fill(~mask, 0.0).exp()
    bounded = ratio.clamp(1 - clip, 1 + clip)
    advantages = advantages.detach()
    return -(
        torch.minimum(advantages * ratio, advantages * bounded).masked_fill(~mask, 0.0).sum(dim=1).mean()
    )


def kl_loss(logprobs: Tensor, *, reference_logprobs: Tensor, mask: Tensor) -> Tensor:
    """k2 of whole sequences: the mean of (log pi - log pi_ref)^2 / 2. Scalar; times beta, a KL in the loss.

    Its gradient is that of the KL (see `kl.k2`). The sum over tokens comes before the square: the sum of the
    tokens' own k2 would leave out that a token also decides the KL of those after it: another optimum.
    The same gradient as k1 in the reward without a baseline, so of higher variance.
    """
    policy = logprobs.masked_fill(~mask, 0.0).sum(dim=1)  # [N]
    reference = reference_logprobs.masked_fill(~mask, 0.0).sum(dim=1)
    return k2(logprobs=policy, reference_logprobs=reference).mean()


def value_loss(values: Tensor, *, old: Tensor, returns: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Half the squared error of the values at each token, summed; mean over sequences. Scalar.

    `old` [N, L] are the values before the first update from this batch. Where the new ones differ by more
    than `clip`, the larger error of both counts.
    """
    clipped = old + (values - old).clamp(-clip, clip)
    errors = torch.maximum((values - returns).square(), (clipped - returns).square())
    return errors.masked_fill(~mask, 0.0).sum(dim=1).mean() / 2
