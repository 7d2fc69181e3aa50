"""What is minimised: the loss of comparisons for the reward model, of advantages for the policy. Pure."""

from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry_loss(difference: Tensor, *, margin: Tensor, tie: Tensor) -> Tensor:
    """-log sigma(r_chosen - r_rejected - margin); for a tie, half of each direction. [C] -> [C], in nats.

    `difference` is r_chosen - r_rejected, `margin` how much better the annotator said it is, `tie` a bool
    mask. A tie has its minimum, log 2, at equal rewards.
    """
    won = logsigmoid(difference - margin)
    drawn = (logsigmoid(difference) + logsigmoid(-difference)) / 2
    return -drawn.where(tie, won)


def policy_gradient_loss(logprobs: Tensor, mask: Tensor, advantages: Tensor) -> Tensor:
    """-mean over sequences of advantage x log-probability of the whole sequence. Scalar.

    `logprobs` [N, L] with gradient, `mask` [N, L] true up to and including the end of text, `advantages` [N]
    constant. Not divided by the length: that would pay short bad texts and long good ones alike. There is no
    ratio to an old policy and no clip: one update follows each batch, so the ratio is 1 where the gradient is
    taken, and the surrogate objective of PPO has this same gradient.
    """
    sequence = logprobs.masked_fill(~mask, 0.0).sum(dim=1)  # [N]
    return -(advantages.detach() * sequence).mean()
