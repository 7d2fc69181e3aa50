"""KL divergence estimated from samples, and the adaptive KL coefficient.

The estimators are Schulman's (joschu.net/blog/kl-approx.html): for tokens drawn from the policy pi, with
r = pi_ref / pi, k1 = -log r, k2 = (log r)^2 / 2 and k3 = r - 1 - log r each estimate KL(pi || pi_ref). The
direction of r is easy to get wrong, so the functions take log-probabilities by name.
"""

from dataclasses import dataclass

from torch import Tensor


def k1(*, logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Unbiased, with high variance; can be negative. For the reward. Any shape, in nats per token."""
    return logprobs - reference_logprobs


def k2(*, logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Slightly biased, never negative. For a loss: its gradient is that of the KL."""
    return (logprobs - reference_logprobs).square() / 2


def k3(*, logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Unbiased, never negative. For logging, not for a gradient."""
    log_ratio = reference_logprobs - logprobs
    return log_ratio.expm1() - log_ratio


@dataclass(kw_only=True)
class AdaptiveKLController:
    """The KL coefficient, which grows while the KL is above its target and shrinks below it.

    beta <- beta (1 + clip(KL / target - 1, -.2, .2) n / horizon) after n episodes (Ziegler et al. 2019, 2.2).
    A horizon of 0 keeps it fixed. `value` is part of the training state.
    """

    value: float
    target: float
    horizon: float

    def update(self, *, kl: float, episodes: int) -> None:
        """`kl` is the mean of the batch in nats per sequence, `episodes` its number of sequences."""
        if self.horizon > 0:
            error = min(max(kl / self.target - 1.0, -0.2), 0.2)
            # More episodes than the horizon must not change the sign.
            self.value *= 1.0 + error * min(episodes / self.horizon, 1.0)
