"""Vocabulary 8, length 4: all 4,096 outcomes can be written down, so the optimum and the gradient are known.

max E[r] - beta KL(pi, pi_ref) = beta log E_ref[exp(r / beta)], reached by pi* ~ pi_ref exp(r / beta).
The policy is a table of logits, one row for each prefix, so that nothing but the estimator can be at fault;
so is PPO's value network a table.
"""

import itertools

import pytest
import torch
from torch import Tensor

from training.rlhf.kl import k1
from training.rlhf.losses import clipped_policy_loss, kl_loss, policy_gradient_loss, value_loss
from training.rlhf.tuning.advantages import (
    ESTIMATORS,
    expand_to_tokens,
    gae,
    masked_moments,
    token_rewards,
    update_baseline,
    whiten,
)

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


def draw(table: Tensor, sequences: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Outcomes by their probability, as indices. [count]"""
    whole = logprobs_of(table, sequences).sum(dim=1).exp()
    return torch.multinomial(whole, count, replacement=True, generator=generator)


class Learning:
    """A policy (and values) as tables, and one step of each estimator, as the real loop takes it."""

    def __init__(self, estimator: str, kl_in: str) -> None:
        self.estimator, self.kl_in = estimator, kl_in
        # The mean of a group of 4 holds the sample itself: grpo sees 3/4 of the reward, but all of this KL.
        self.price = BETA * 3 / 4 if estimator == "grpo" else BETA
        self.reference, self.sequences, self.rewards = problem()
        self.table = self.reference.clone().requires_grad_()
        self.values = torch.zeros(len(self.reference), dtype=torch.float64, requires_grad=True)
        self.optimizers = [
            torch.optim.Adam([weights], lr=rate, eps=1e-5)
            for weights, rate in ((self.table, 0.05), (self.values, 0.2))
        ]
        self.baseline: Tensor | None = None
        self.generator = torch.Generator().manual_seed(1)

    def step(self, share: float, *, group: int = 4, groups: int) -> None:
        with torch.no_grad():
            drawn = draw(self.table, self.sequences, group * groups, self.generator)
            tokens = self.sequences[drawn]
            sampled, expected = logprobs_of(self.table, tokens), logprobs_of(self.reference, tokens)
            old = self.values.detach()[rows_of(tokens)]
        mask = torch.ones_like(tokens, dtype=torch.bool)
        kl_penalties = BETA * k1(logprobs=sampled, reference_logprobs=expected) * (self.kl_in == "reward")
        returns = self.rewards[drawn] - kl_penalties.sum(dim=1)
        if self.estimator == "ppo":
            raw = gae(token_rewards(self.rewards[drawn], kl_penalties, mask), old, mask, decay=0.95)
            advantages = whiten(raw, mask, masked_moments(raw, mask), scaled=self.kl_in == "reward")
        else:
            mean = returns.mean()
            baseline = mean if self.baseline is None else self.baseline
            advantages = expand_to_tokens(
                ESTIMATORS[self.estimator](returns.view(groups, group), baseline), mask
            )
            self.baseline = update_baseline(self.baseline, mean)
        for update in range(4 if self.estimator == "ppo" else 1):
            logprobs = logprobs_of(self.table, tokens)
            if update == 0:
                loss = policy_gradient_loss(logprobs, mask, advantages)
            else:
                loss = clipped_policy_loss(
                    logprobs, sampled=sampled, mask=mask, advantages=advantages, clip=0.2
                )
            if self.kl_in == "loss":
                loss = loss + self.price * kl_loss(logprobs, reference_logprobs=expected, mask=mask)
            if self.estimator == "ppo":
                now = self.values[rows_of(tokens)]
                loss = loss + value_loss(now, old=old, returns=raw + old, mask=mask, clip=0.2)
            for optimizer, rate in zip(self.optimizers, (0.05, 0.2), strict=True):
                optimizer.param_groups[0]["lr"] = rate * share
                optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            for optimizer in self.optimizers:
                optimizer.step()


@pytest.mark.parametrize("kl_in", ["reward", "loss"])
@pytest.mark.parametrize("estimator", ["rloo", "reinforce", "grpo", "ppo"])
def test_training_reaches_the_exact_optimum(estimator: str, kl_in: str) -> None:
    # Within 3 % of the way from the reference policy to the optimum, and 0.05 nats of pi* itself.
    learning = Learning(estimator, kl_in)
    steps = 80 if estimator == "ppo" else 200  # each of PPO's makes four updates
    for step in range(steps):
        learning.step(1 - step / steps, groups=1024)
    reference, sequences, rewards = learning.reference, learning.sequences, learning.rewards
    table = learning.table
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


def exact_problem() -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(table, reference, sequences, rewards, gradient of the objective at the table), all enumerated."""
    reference, sequences, rewards = problem()
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(reference.shape, generator=generator, dtype=torch.float64)
    table = (reference + 0.3 * noise).requires_grad_()
    exact = torch.autograd.grad(objective(table, reference, sequences, rewards), table)[0]
    return table, reference, sequences, rewards, exact


@pytest.mark.parametrize("baseline", [0.0, 3.0])
@pytest.mark.parametrize("kl_in", ["reward", "loss"])
def test_the_expected_reinforce_gradient_is_the_enumerated_one_whatever_the_baseline(
    kl_in: str, baseline: float
) -> None:
    table, reference, sequences, rewards, exact = exact_problem()
    logprobs, expected = logprobs_of(table, sequences), logprobs_of(reference, sequences)
    mask = torch.ones_like(sequences, dtype=torch.bool)
    # The losses are means over samples: each outcome is weighed by its probability times their number.
    weight = (logprobs.detach().sum(dim=1).exp() * len(sequences))[:, None]
    kl = k1(logprobs=logprobs.detach(), reference_logprobs=expected).sum(dim=1)
    returns = rewards - BETA * kl if kl_in == "reward" else rewards
    advantages = ESTIMATORS["reinforce"](returns[:, None], torch.tensor(baseline))
    loss = policy_gradient_loss(logprobs, mask, expand_to_tokens(advantages, mask) * weight)
    if kl_in == "loss":
        # A square root of the weight inside the square: k2 weighed as it is.
        root = weight.sqrt()
        loss = loss + BETA * kl_loss(root * logprobs, reference_logprobs=root * expected, mask=mask)
    torch.testing.assert_close(-torch.autograd.grad(loss, table)[0], exact)


def true_values(table: Tensor, sequences: Tensor, coming: Tensor) -> Tensor:
    """What each prefix brings on average, at its row of the table; `coming` [N, L] is each token's own."""
    chances = logprobs_of(table, sequences).sum(dim=1).exp()
    rows, brings = rows_of(sequences), coming.flip(1).cumsum(dim=1).flip(1)
    total, weight = torch.zeros(len(table)).double(), torch.zeros(len(table)).double()
    for place in range(LENGTH):
        total.index_add_(0, rows[:, place], chances * brings[:, place])
        weight.index_add_(0, rows[:, place], chances)
    return total / weight


@pytest.mark.parametrize(
    ("decay", "knows"), [(1.0, False), (0.95, True), (0.0, True)], ids=["any values", "true", "one step"]
)
def test_the_expected_ppo_gradient_is_the_enumerated_one(decay: float, knows: bool) -> None:
    # Without decay whatever the values are, with one if they are true.
    table, reference, sequences, rewards, exact = exact_problem()
    logprobs, expected = logprobs_of(table, sequences), logprobs_of(reference, sequences)
    mask = torch.ones_like(sequences, dtype=torch.bool)
    kl_penalties = BETA * k1(logprobs=logprobs.detach(), reference_logprobs=expected)
    coming = token_rewards(rewards, kl_penalties, mask)
    values = torch.linspace(-1, 1, len(table), dtype=torch.float64)
    if knows:
        values = true_values(table.detach(), sequences, coming)
    advantages = gae(coming, values[rows_of(sequences)], mask, decay=decay)
    weight = (logprobs.detach().sum(dim=1).exp() * len(sequences))[:, None]
    loss = policy_gradient_loss(logprobs, mask, advantages * weight)
    torch.testing.assert_close(-torch.autograd.grad(loss, table)[0], exact)


@pytest.mark.parametrize("kl_in", ["reward", "loss"])
@pytest.mark.parametrize(("estimator", "group"), [("rloo", 2), ("rloo", 3), ("grpo", 2), ("grpo", 3)])
def test_the_expected_gradient_of_groups_is_the_enumerated_one(
    estimator: str, group: int, kl_in: str
) -> None:
    # 16 outcomes, every group of 2 or 3 of them: the expectation over groups is exact too.
    generator = torch.Generator().manual_seed(0)
    reference = torch.randn(16, generator=generator, dtype=torch.float64).log_softmax(dim=0)
    rewards = torch.randn(16, generator=generator, dtype=torch.float64)
    logits = torch.randn(16, generator=generator, dtype=torch.float64).requires_grad_()
    policy = logits.log_softmax(dim=0)
    share = (group - 1) / group if estimator == "grpo" else 1.0  # of the reward that grpo sees
    paid = BETA if kl_in == "reward" else BETA / share
    enumerated = (policy.exp() * (rewards - paid * (policy - reference))).sum()
    exact = torch.autograd.grad(enumerated, logits, retain_graph=True)[0]
    drawn = every_sequence(16, group)  # [G, K] outcomes
    returns = rewards[drawn]
    if kl_in == "reward":
        returns = returns - BETA * k1(logprobs=policy.detach()[drawn], reference_logprobs=reference[drawn])
    weight = policy.detach()[drawn].sum(dim=1, keepdim=True).exp() * len(drawn)  # [G, 1]
    mask = torch.ones(drawn.numel(), 1, dtype=torch.bool)
    logprobs, expected = policy[drawn.flatten()][:, None], reference[drawn.flatten()][:, None]
    advantages = ESTIMATORS[estimator](returns, returns.mean()) * weight
    loss = policy_gradient_loss(logprobs, mask, expand_to_tokens(advantages, mask))
    if kl_in == "loss":
        root = weight.expand_as(drawn).reshape(-1, 1).sqrt()
        loss = loss + BETA * kl_loss(root * logprobs, reference_logprobs=root * expected, mask=mask)
    torch.testing.assert_close(-torch.autograd.grad(loss, logits)[0], share * exact)
