import math

import pytest
import torch

from training.rlhf.losses import bradley_terry_loss, policy_gradient_loss


def loss_of(difference: float, *, margin: float = 0.0, tie: bool = False) -> float:
    return bradley_terry_loss(
        torch.tensor([difference], dtype=torch.float64),
        margin=torch.tensor([margin], dtype=torch.float64),
        tie=torch.tensor([tie]),
    ).item()


@pytest.mark.parametrize("difference", [-3.0, 0.0, 0.7, 40.0, -40.0])
def test_a_preference_costs_its_negative_log_likelihood(difference: float) -> None:
    assert loss_of(difference) == pytest.approx(math.log1p(math.exp(-difference)), rel=1e-9)


def test_a_margin_asks_for_that_much_more() -> None:
    assert loss_of(1.5, margin=1.0) == pytest.approx(loss_of(0.5))


@pytest.mark.parametrize("difference", [0.0, 0.4, -2.0])
def test_a_tie_costs_half_of_each_direction(difference: float) -> None:
    expected = 0.5 * (math.log1p(math.exp(-difference)) + math.log1p(math.exp(difference)))
    assert loss_of(difference, tie=True) == pytest.approx(expected)
    assert loss_of(difference, tie=True) >= math.log(2)


def test_a_tie_ignores_the_margin_and_the_order() -> None:
    assert loss_of(0.4, tie=True, margin=9.0) == loss_of(-0.4, tie=True)


def test_preferences_and_ties_mix_in_one_batch() -> None:
    batch = bradley_terry_loss(
        torch.tensor([0.3, 0.3]), margin=torch.zeros(2), tie=torch.tensor([True, False])
    )
    assert batch.tolist() == pytest.approx([loss_of(0.3, tie=True), loss_of(0.3)])


def test_the_policy_loss_equals_a_slow_loop_over_ragged_sequences() -> None:
    generator = torch.Generator().manual_seed(0)
    logprobs = -torch.rand(6, 5, generator=generator)
    advantages = torch.randn(6, generator=generator)
    lengths = [5, 1, 3, 2, 4, 5]
    mask = torch.arange(5)[None] < torch.tensor(lengths)[:, None]
    total = 0.0
    for row, length in enumerate(lengths):
        for place in range(length):
            total -= advantages[row].item() * logprobs[row, place].item()
    assert policy_gradient_loss(logprobs, mask, advantages).item() == pytest.approx(total / 6, rel=1e-5)


def test_what_lies_outside_the_mask_changes_nothing() -> None:
    logprobs, advantages = torch.tensor([[-1.0, -2.0]]), torch.tensor([1.0])
    spoilt = torch.tensor([[-1.0, -math.inf]])
    mask = torch.tensor([[True, False]])
    assert policy_gradient_loss(logprobs, mask, advantages) == policy_gradient_loss(spoilt, mask, advantages)
