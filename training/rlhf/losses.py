"""What is minimised: the loss of comparisons for the reward model, of advantages for the policy. Pure."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.rlhf.kl import k2


def bradley_terry_loss(difference: Tensor, *, margin: Tensor, tie: Tensor) -> Tensor:
    """-log sigma(r_chosen - r_rejected - margin); for a tie, half of each direction. [C] -> [C], in nats.

    `difference` is r_chosen - r_rejected, `margin` how much better the annotator said it is, `tie` a bool
    mask; any shapes that broadcast will do. A tie has its minimum, log 2, at equal rewards.
    """
    won = logsigmoid(difference - margin)
    drawn = (logsigmoid(difference) + logsigmoid(-difference)) / 2
    return -drawn.where(tie, won)


def plackett_luce_loss(rewards: Tensor, *, first: Tensor, among: Tensor) -> Tensor:
    """-log of the probability that one of `first` is chosen `among` others. [S, K, M] -> [S, M], in nats.

    `rewards` of the K items of each of S choices by M members; `first` and `among` [S, K] are bool masks, the
    one inside the other. The choices of a ranking, each times its weight, sum to its Plackett-Luce loss; see
    `rankings.choices`.
    """
    best = (rewards * first[..., None]).sum(dim=1) / first.sum(dim=1)[:, None]
    return rewards.masked_fill(~among[..., None], -torch.inf).logsumexp(dim=1) - best


def score_loss(rewards: Tensor, *, scores: Tensor) -> Tensor:
    """Half the squared error of rewards as estimates of standardised scores. Any shape, elementwise.

    It is the negative log-likelihood, but for a constant, of scores with a deviation of 1 around the reward.
    """
    return (rewards - scores).square() / 2


def policy_gradient_loss(logprobs: Tensor, mask: Tensor, advantages: Tensor) -> Tensor:
    """-mean over sequences of the sum over tokens of advantage x log-probability. Scalar.

    `logprobs` [N, L] with gradient, `mask` [N, L] true up to and including the end of text, `advantages`
    [N, L] constant. Not divided by the length: that would pay short bad texts and long good ones alike. There
    is no ratio to an old policy and no clip: where one update follows a batch, the ratio is 1 where the
    gradient is taken, and `clipped_policy_loss` has this same gradient.
    """
    return -(advantages.detach() * logprobs).masked_fill(~mask, 0.0).sum(dim=1).mean()


def clipped_policy_loss(
    logprobs: Tensor, *, sampled: Tensor, mask: Tensor, advantages: Tensor, clip: float
) -> Tensor:
    """The surrogate for further updates from one batch: -mean of min(ratio A, clipped ratio A). Scalar.

    Schulman et al. 2017: `sampled` [N, L] are the log-probabilities the tokens were sampled with, and a token
    whose ratio has left 1 +- clip on the side that its advantage wants pulls no further.
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

    `old` [N, L] are the values before the first update from this batch: where the new ones have moved by more
    than `clip`, the worse of both errors counts, so that nothing is won by moving on.
    """
    near = old + (values - old).clamp(-clip, clip)
    errors = torch.maximum((values - returns).square(), (near - returns).square())
    return errors.masked_fill(~mask, 0.0).sum(dim=1).mean() / 2
