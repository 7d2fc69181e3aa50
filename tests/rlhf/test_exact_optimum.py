"""Vocabulary 8, length 4: all 4,096 outcomes can be written down, so the optimum and the gradient are known.

max E[r] - beta KL(pi, pi_ref) = beta log E_ref[exp(r / beta)], reached by pi* ~ pi_ref exp(r / beta).
The policy is a table of logits, one row for each prefix, so that nothing but the estimator can be at fault.
"""

import itertools

import pytest
import torch
from torch import Tensor

from training.rlhf.advantages import ESTIMATORS, move_baseline
from training.rlhf.kl import k1
from training.rlhf.losses import policy_gradient_loss

VOCABULARY, LENGTH, BETA = 8, 4, 0.5
STARTS = [
    sum(VOCABULARY**step for step in range(place)) for place in range(LENGTH)
]  # first row of each depth


def every_sequence(vocabulary: int = VOCABULARY, length: int = LENGTH) -> Tensor:
    return torch.tensor(list(itertools.product(range(vocabulary), repeat=length)))


def rows_of(sequences: Tensor) -> Tensor:
    """The row of the table that predicts each token. [N, L]"""
    rows, prefix = [], torch.zeros(len(sequences), dtype=torch.long)
    for place in range(LENGTH):
        rows.append(STARTS[place] + prefix)
        prefix = prefix * VOCABULARY + sequences[:, place]
    return torch.stack(rows, dim=1)


def logprobs_of(table: Tensor, sequences: Tensor) -> Tensor:
    """[N, L]"""
    return table.log_softmax(dim=-1)[rows_of(sequences), sequences]


def problem() -> tuple[Tensor, Tensor, Tensor]:
    """(reference table, all sequences, the reward of each): random, so that no symmetry helps."""
    generator = torch.Generator().manual_seed(0)
    size = sum(VOCABULARY**place for place in range(LENGTH))
    reference = torch.randn(size, VOCABULARY, generator=generator, dtype=torch.float64)
    sequences = every_sequence()
    return reference, sequences, torch.randn(len(sequences), generator=generator, dtype=torch.float64)


def objective(table: Tensor, reference: Tensor, sequences: Tensor, rewards: Tensor) -> Tensor:
    """E[r] - beta KL, every outcome counted."""
    logprobs = logprobs_of(table, sequences).sum(dim=1)
    log_ratio = logprobs - logprobs_of(reference, sequences).sum(dim=1)
    return (logprobs.exp() * (rewards - BETA * log_ratio)).sum()


def best_objective(reference: Tensor, sequences: Tensor, rewards: Tensor) -> float:
    weights = logprobs_of(reference, sequences).sum(dim=1)
    return BETA * torch.logsumexp(weights + rewards / BETA, dim=0).item()


@pytest.mark.parametrize("estimator", ["rloo", "reinforce"])
def test_training_reaches_the_exact_optimum(estimator: str) -> None:
    # Within 3 % of the way from the reference policy to the optimum, and 0.05 nats of pi* itself.
    reference, sequences, rewards = problem()
    table = reference.clone().requires_grad_()
    optimizer = torch.optim.Adam([table], lr=0.05, eps=1e-5)
    generator = torch.Generator().manual_seed(1)
    group, groups, steps, baseline = 4, 512, 250, None
    for step in range(steps):
        with torch.no_grad():
            whole = logprobs_of(table, sequences).sum(dim=1).exp()
            drawn = torch.multinomial(whole, group * groups, replacement=True, generator=generator)
        tokens = sequences[drawn]
        logprobs = logprobs_of(table, tokens)
        kl = k1(logprobs=logprobs.detach(), reference_logprobs=logprobs_of(reference, tokens)).sum(dim=1)
        returns = (rewards[drawn] - BETA * kl).view(groups, group)
        baseline = returns.mean() if baseline is None else baseline
        advantages = ESTIMATORS[estimator](returns, baseline)
        baseline = move_baseline(baseline, returns)
        loss = policy_gradient_loss(logprobs, torch.ones_like(tokens, dtype=torch.bool), advantages.flatten())
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / steps)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.no_grad():
        start = objective(reference, reference, sequences, rewards).item()
        found = objective(table, reference, sequences, rewards).item()
        best = best_objective(reference, sequences, rewards)
        logprobs = logprobs_of(table, sequences).sum(dim=1)
        ideal = (logprobs_of(reference, sequences).sum(dim=1) + rewards / BETA).log_softmax(dim=0)
        distance = (logprobs.exp() * (logprobs - ideal)).sum().item()
    assert found <= best + 1e-9
    assert (best - found) / (best - start) < 0.03
    # The gap in the objective is beta times the KL to pi*: the two figures must agree.
    assert distance == pytest.approx((best - found) / BETA, abs=1e-6)
    assert distance < 0.05


def test_the_expected_reinforce_gradient_is_the_enumerated_one_whatever_the_baseline() -> None:
    reference, sequences, rewards = problem()
    table = (reference + 0.3 * torch.randn(reference.shape, dtype=torch.float64)).requires_grad_()
    exact = torch.autograd.grad(objective(table, reference, sequences, rewards), table)[0]
    logprobs = logprobs_of(table, sequences)
    weight = logprobs.detach().sum(dim=1).exp()
    kl = k1(logprobs=logprobs.detach(), reference_logprobs=logprobs_of(reference, sequences)).sum(dim=1)
    returns = (rewards - BETA * kl)[:, None]
    for baseline in (0.0, 3.0):
        advantages = ESTIMATORS["reinforce"](returns, torch.tensor(baseline)).flatten()
        # The loss is a mean over samples: each outcome is weighed by its probability times their number.
        loss = policy_gradient_loss(
            logprobs, torch.ones_like(sequences, dtype=torch.bool), advantages * weight * len(sequences)
        )
        torch.testing.assert_close(-torch.autograd.grad(loss, table, retain_graph=True)[0], exact)


@pytest.mark.parametrize("group", [2, 3])
def test_the_expected_rloo_gradient_is_the_enumerated_one(group: int) -> None:
    # 16 outcomes, every group of 2 or 3 of them: the expectation over groups is exact too.
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(16, generator=generator, dtype=torch.float64).log_softmax(dim=0)
    rewards = torch.randn(16, generator=generator, dtype=torch.float64)
    logits = torch.randn(16, generator=generator, dtype=torch.float64).requires_grad_()
    policy = logits.log_softmax(dim=0)
    objective = (policy.exp() * (rewards - BETA * (policy - reference))).sum()
    exact = torch.autograd.grad(objective, logits, retain_graph=True)[0]
    drawn = every_sequence(16, group)  # [G, K] outcomes
    returns = rewards[drawn] - BETA * k1(logprobs=policy.detach()[drawn], reference_logprobs=reference[drawn])
    advantages = ESTIMATORS["rloo"](returns, returns.mean())
    weight = policy.detach()[drawn].sum(dim=1, keepdim=True).exp() * len(drawn)  # [G, 1]
    loss = policy_gradient_loss(
        policy[drawn.flatten()][:, None],
        torch.ones(drawn.numel(), 1, dtype=torch.bool),
        (advantages * weight).flatten(),
    )
    torch.testing.assert_close(-torch.autograd.grad(loss, logits)[0], exact)
