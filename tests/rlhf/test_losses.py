import math

import pytest
import torch

from training.rlhf.losses import bradley_terry_loss


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
