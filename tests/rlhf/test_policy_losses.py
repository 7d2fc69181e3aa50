"""The losses of policy and value, against plain loops over ragged sequences."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from training.rlhf.losses import clipped_policy_loss, kl_loss, policy_gradient_loss, value_loss

LENGTHS = [5, 1, 3, 2, 4, 5]
MASK = torch.arange(5)[None] < torch.tensor(LENGTHS)[:, None]
PLACES = [(row, place) for row, length in enumerate(LENGTHS) for place in range(length)]


def ragged(seed: int) -> Tensor:
    return torch.randn(6, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_policy_loss_is_minus_the_mean_of_advantage_times_log_probability() -> None:
    logprobs, advantages = ragged(0), ragged(1)
    slow = -sum((advantages[at] * logprobs[at]).item() for at in PLACES) / 6
    assert policy_gradient_loss(logprobs, MASK, advantages).item() == pytest.approx(slow)


def test_the_clipped_loss_takes_the_worse_of_ratio_and_clipped_ratio() -> None:
    logprobs, sampled, advantages = ragged(0), ragged(2), ragged(1)
    slow = 0.0
    for at in PLACES:
        ratio, advantage = math.exp(logprobs[at] - sampled[at]), advantages[at].item()
        slow -= min(ratio * advantage, max(0.8, min(1.2, ratio)) * advantage) / 6
    found = clipped_policy_loss(logprobs, sampled=sampled, mask=MASK, advantages=advantages, clip=0.2)
    assert found.item() == pytest.approx(slow)


def test_at_the_first_update_the_clipped_loss_has_the_plain_gradient() -> None:
    logprobs, advantages = ragged(0).requires_grad_(), ragged(1)
    plain = torch.autograd.grad(policy_gradient_loss(logprobs, MASK, advantages), logprobs)[0]
    loss = clipped_policy_loss(
        logprobs, sampled=logprobs.detach(), mask=MASK, advantages=advantages, clip=0.2
    )
    torch.testing.assert_close(torch.autograd.grad(loss, logprobs)[0], plain)


def test_a_token_that_has_moved_far_enough_pulls_no_further() -> None:
    sampled, logprobs = torch.zeros(1, 4), torch.tensor([[0.3, -0.3, 0.3, -0.3]], requires_grad=True)
    advantages = torch.tensor([[1.0, -1.0, -1.0, 1.0]])  # the last two want to come back
    loss = clipped_policy_loss(
        logprobs, sampled=sampled, mask=torch.ones(1, 4, dtype=torch.bool), advantages=advantages, clip=0.2
    )
    gradient = torch.autograd.grad(loss, logprobs)[0][0]
    assert gradient[:2].eq(0).all()
    assert gradient[2:].ne(0).all()


def test_the_kl_in_the_loss_is_k2_of_whole_sequences() -> None:
    logprobs, expected = ragged(0), ragged(3)
    slow = 0.0
    for row, length in enumerate(LENGTHS):
        slow += sum((logprobs[row, at] - expected[row, at]).item() for at in range(length)) ** 2 / 2 / 6
    assert kl_loss(logprobs, reference_logprobs=expected, mask=MASK).item() == pytest.approx(slow)


def test_the_value_loss_takes_the_worse_of_the_value_and_the_clipped_value() -> None:
    values, old, returns = ragged(0), ragged(4), ragged(5)
    slow = 0.0
    for at in PLACES:
        near = old[at] + max(-0.2, min(0.2, (values[at] - old[at]).item()))
        slow += max((values[at] - returns[at]) ** 2, (near - returns[at]) ** 2).item() / 2 / 6
    assert value_loss(values, old=old, returns=returns, mask=MASK, clip=0.2).item() == pytest.approx(slow)


def test_what_lies_outside_the_mask_changes_no_loss() -> None:
    logprobs, other = ragged(0), ragged(1)
    spoilt = torch.where(MASK, logprobs, 1e3)
    losses: list[Callable[[Tensor], Tensor]] = [
        lambda given: policy_gradient_loss(given, MASK, other),
        lambda given: clipped_policy_loss(given, sampled=ragged(2), mask=MASK, advantages=other, clip=0.2),
        lambda given: kl_loss(given, reference_logprobs=other, mask=MASK),
        lambda given: value_loss(given, old=other, returns=ragged(2), mask=MASK, clip=0.2),
    ]
    for loss in losses:
        assert loss(spoilt) == loss(logprobs)
