import math

import pytest
import torch

from training.rlhf.kl import AdaptiveKLController, k1, k2, k3

# Bias and deviation relative to the true KL, for N(0, 1) against N(shift, 1); joschu.net/blog/kl-approx.html.
# True KL, shift, and (bias, deviation) of k1, k2, k3.
PUBLISHED = [
    (0.005, 0.1, (0.0, 20.0), (0.002, 1.42), (0.0, 1.42)),
    (0.5, 1.0, (0.0, 2.0), (0.25, 1.73), (0.0, 1.7)),
]


@pytest.mark.parametrize(("true_kl", "shift", "first", "second", "third"), PUBLISHED)
def test_the_estimators_have_the_published_bias_and_deviation(
    true_kl: float,
    shift: float,
    first: tuple[float, float],
    second: tuple[float, float],
    third: tuple[float, float],
) -> None:
    # The integral over a fine grid in place of ten million draws: no sampling error left.
    x = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
    policy, reference = -(x**2) / 2, -((x - shift) ** 2) / 2
    weight = policy.softmax(dim=0)
    for estimator, (bias, deviation) in zip((k1, k2, k3), (first, second, third), strict=True):
        value = estimator(logprobs=policy, reference_logprobs=reference)
        mean = (weight * value).sum().item()
        spread = math.sqrt((weight * (value - mean) ** 2).sum().item())
        assert mean / true_kl - 1 == pytest.approx(bias, abs=0.002)
        assert spread / true_kl == pytest.approx(deviation, rel=0.01)


def test_the_direction_is_from_the_policy_to_the_reference() -> None:
    policy, reference = torch.tensor([0.9, 0.1]).log(), torch.tensor([0.5, 0.5]).log()
    exact = (policy.exp() * (policy - reference)).sum()
    for estimator in (k1, k3):
        estimate = (policy.exp() * estimator(logprobs=policy, reference_logprobs=reference)).sum()
        assert estimate.item() == pytest.approx(exact.item(), rel=1e-5)


def test_the_gradient_of_k2_is_that_of_the_kl() -> None:
    logits = torch.tensor([0.3, -1.0, 0.8, 0.1], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.1, 0.4, -0.2, 0.5], dtype=torch.float64).log_softmax(0)
    policy = logits.log_softmax(0)
    weight = policy.detach().exp()
    exact = torch.autograd.grad((policy.exp() * (policy - reference)).sum(), logits, retain_graph=True)[0]
    found = [
        torch.autograd.grad(
            (weight * estimator(logprobs=policy, reference_logprobs=reference)).sum(),
            logits,
            retain_graph=True,
        )[0]
        for estimator in (k1, k2, k3)
    ]
    torch.testing.assert_close(found[1], exact)
    torch.testing.assert_close(found[0], torch.zeros_like(exact))  # as a loss, k1 teaches nothing
    assert not torch.allclose(found[2], exact, rtol=1e-2)


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(6.0, 1.0), (6.6, 1 + 0.1 * 0.064), (60.0, 1 + 0.2 * 0.064), (-3.0, 1 - 0.2 * 0.064)],
)
def test_the_coefficient_follows_the_published_formula(kl: float, factor: float) -> None:
    coefficient = AdaptiveKLController(value=0.15, target=6.0, horizon=1000.0)
    coefficient.update(kl=kl, episodes=64)
    assert coefficient.value == pytest.approx(0.15 * factor)


def test_a_horizon_of_zero_keeps_the_coefficient() -> None:
    coefficient = AdaptiveKLController(value=0.15, target=6.0, horizon=0.0)
    coefficient.update(kl=100.0, episodes=64)
    assert coefficient.value == 0.15


def test_a_batch_beyond_the_horizon_cannot_make_the_coefficient_negative() -> None:
    coefficient = AdaptiveKLController(value=0.15, target=6.0, horizon=10.0)
    for _ in range(100):
        coefficient.update(kl=0.0, episodes=1000)
    assert coefficient.value > 0
