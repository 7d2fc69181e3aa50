"""Reliability of annotators, estimated together with rewards.

The model is Crowd-BT (Chen et al. 2013): annotator j prefers the better of two texts with probability

    eta_j sigma(d) + (1 - eta_j) sigma(-d),        d = r(chosen) - r(rejected),

where eta_j, the reliability, is 1 for an annotator who always agrees with the reward, 1/2 for a coin toss,
and less for one who has reversed the scale. Reliabilities and rewards are estimated alternately. Three things
differ from the paper, because the rewards here come from a network:

- A network memorises the answers of careless annotators in a few epochs, and then everybody seems reliable.
  So annotators are only compared with rewards that were fitted without the answers in question (cross-fitting
  in five folds). These rewards do use other annotators' answers on the same texts.
- Training a network five times would be expensive, so these rewards are linear in the states of the trunk,
  plus a term for each text (the paper's reward): r(t) = w x_t + u_t.
- The reward model is then trained with each annotator's answers weighted by 2 eta_j - 1, the effect of the
  likelihood above on the gradient for small d. For large d the likelihood would trust the network over the
  annotators, which memorisation spoils. Weights also apply to rankings and scores.

Measured with ten simulated annotators, a fifth of them answering at random, as the gain in accuracy against
the noise-free reward function (95 %): of linear rewards of stories, 12 seeds, +0.0 +- 0.1 points from 200
comparisons, +0.7 +- 0.4 from 500, +1.0 +- 0.3 from 2,000 (leaving out the two by name: +0.9); of a small
transformer trained in full, 8 seeds, +2.5 +- 2.2 from 100, +4.2 +- 2.6 from 300, +2.1 +- 1.6 from 1,000.
Without careless annotators: -0.04 +- 0.16 from 500, and -0.4 +- 1.1 of the transformer from 300.
"""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from training.gpt.model import GPT
from training.rlhf.feedback.preferences import Comparison

FOLDS = 5
ITERATIONS = 3  # alternations of rewards and reliabilities; more make no visible difference
WEIGHT_PENALTIES = (64.0, 16.0, 4.0, 1.0)  # of w, selected by held-out likelihood
TEXT_PENALTY = 1.0  # of u: the trunk leaves differences of about 1 logit between texts
SCALES = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
GRID = torch.linspace(0.01, 0.99, 99)


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Posterior mean of eta with its central 95 % interval, from `comparisons` comparisons without ties."""

    reliability: float
    low: float
    high: float
    comparisons: int

    @property
    def weight(self) -> float:
        """The weight of this annotator's answers, from 0 (a coin toss, or worse) to 1."""
        return max(0.0, 2 * self.reliability - 1)


def estimate_reliabilities(
    comparisons: Sequence[Comparison], *, features: Tensor, chosen: Tensor, rejected: Tensor, seed: int
) -> dict[str, Reliability]:
    """The reliability of each named annotator; empty if there are fewer than two.

    `features` [T, D] describe the texts (see `mean_pooled_states`); `chosen` and `rejected` [C] are the
    indices of each comparison's texts in them.
    """
    features, chosen, rejected = features.float().cpu(), chosen.cpu(), rejected.cpu()
    places = [place for place, pair in enumerate(comparisons) if pair.annotator and not pair.tie]
    pairs = [comparisons[place] for place in places]
    names = sorted({pair.annotator for pair in pairs})
    if len(names) < 2:
        return {}
    people = {name: number for number, name in enumerate(names)}
    person = torch.tensor([people[pair.annotator] for pair in pairs])  # [C]
    fold = _folds(pairs, seed)
    # The pairs of a ranking of K are the outcome of K - 1 choices, not of K (K - 1) / 2.
    answers = [
        (pair.prompt, pair.group, pair.annotator) if pair.group else place for place, pair in enumerate(pairs)
    ]
    sizes = Counter(answers)
    answer_weight = torch.tensor([4 / (1 + math.sqrt(1 + 8 * sizes[answer])) for answer in answers])  # 2 / K
    rewards = _CrossFittedRewards(features, chosen[places], rejected[places], answer_weight=answer_weight)
    prior = reliability_prior()
    eta = torch.full((len(names),), float(prior @ GRID))
    gaps = rewards.best_gaps(eta[person], fold)
    for turn in range(ITERATIONS):
        if turn:
            gaps = rewards.gaps(eta[person], fold)
        posterior = reliability_posterior(
            gaps, person, answer_weight=answer_weight, people=len(names), prior=prior
        )  # [J, G]
        eta = posterior @ GRID
    below = posterior.cumsum(dim=1)
    counts = torch.bincount(person, minlength=len(names)).tolist()
    return {
        name: Reliability(
            reliability=eta[number].item(),
            low=GRID[int((below[number] < 0.025).sum())].item(),
            high=GRID[min(int((below[number] < 0.975).sum()), len(GRID) - 1)].item(),
            comparisons=counts[number],
        )
        for name, number in people.items()
    }


def reliability_prior() -> Tensor:
    """The prior of an annotator's reliability, over the grid.

    90 % careful, Beta(9, 1) about as in Chen et al.; 10 % answering at random, Beta(20, 20). Beta(9, 1) alone
    has almost no mass below 1/2, and would need more answers to detect a careless annotator.
    """
    careful = GRID**8
    careless = (GRID * (1 - GRID)) ** 19
    return 0.9 * careful / careful.sum() + 0.1 * careless / careless.sum()


def reliability_posterior(
    gaps: Tensor, person: Tensor, *, answer_weight: Tensor, people: int, prior: Tensor
) -> Tensor:
    """Each annotator's posterior over the grid, from d = `gaps` [C] of answers by `person` [C]. [J, G]

    Rewards fitted to few answers are over- or underconfident, which would bias all reliabilities. So d is
    multiplied by the scale that maximises the likelihood of all answers.
    """
    best, found = -float("inf"), torch.empty(0)
    for scale in SCALES:
        right, wrong = logsigmoid(scale * gaps), logsigmoid(-scale * gaps)
        each = torch.logaddexp(GRID.log() + right[:, None], (1 - GRID).log() + wrong[:, None])  # [C, G]
        each = each * answer_weight[:, None]
        joint = torch.zeros(people, len(GRID)).index_add_(0, person, each) + prior.log()
        evidence = joint.logsumexp(dim=1).sum().item()
        if evidence > best:
            best, found = evidence, joint.softmax(dim=1)
    return found


def annotator_weights(reliabilities: Mapping[str, Reliability]) -> Callable[[str], float]:
    """The weight of answers by the annotator's name; unknown annotators have the mean weight.

    All weights are 1 if no annotator is known, or none is better than a coin toss.
    """
    weights = {name: each.weight for name, each in reliabilities.items()}
    mean = sum(weights.values()) / len(weights) if weights else 0.0
    if mean == 0.0:
        return lambda _: 1.0
    return lambda annotator: weights.get(annotator, mean)


@torch.no_grad()
def mean_pooled_states(trunk: GPT, rows: Sequence[Sequence[int]], *, batch_size: int = 128) -> Tensor:
    """The mean of the trunk's final states over each row of ids, dropout off. [N, D]

    Better than the final state alone, which the trunk is not trained to use yet: linear rewards were right in
    65 % of a thousand held-out comparisons of stories, and in 60 % with the final state.
    """
    was_training = trunk.training
    trunk.eval()
    means = torch.empty(len(rows), trunk.config.width, device=trunk.device)
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        length = len(rows[batch[-1]])
        tokens = torch.tensor([[*rows[n], *[0] * (length - len(rows[n]))] for n in batch])
        real = torch.arange(length) < torch.tensor([[len(rows[n])] for n in batch])  # [B, L]
        states = trunk.hidden(tokens.to(trunk.device)).float()  # [B, L, D]
        real = real.to(trunk.device)[..., None]
        means[batch] = (states * real).sum(dim=1) / real.sum(dim=1)
    trunk.train(was_training)
    return means


def _folds(pairs: Sequence[Comparison], seed: int) -> Tensor:
    """A fold for each comparison [C]; those of one annotator on one prompt share it."""
    rng = random.Random(seed)
    keys: dict[tuple[str, str], int] = {}
    for pair in pairs:
        keys.setdefault((pair.split_key, pair.annotator), rng.randrange(FOLDS))
    return torch.tensor([keys[pair.split_key, pair.annotator] for pair in pairs])


class _CrossFittedRewards:
    """Rewards r(t) = w x_t + u_t, fitted for each fold to the answers of all other folds."""

    def __init__(self, features: Tensor, chosen: Tensor, rejected: Tensor, *, answer_weight: Tensor) -> None:
        self.answer_weight = answer_weight
        used, places = torch.unique(torch.cat((chosen, rejected)), return_inverse=True)
        features = features[used]
        features = (features - features.mean(dim=0)) / features.std(dim=0, correction=0).clamp_min(1e-6)
        self.chosen, self.rejected = places.chunk(2)  # [C]
        self.gaps_of_features = features[self.chosen] - features[self.rejected]  # [C, D]
        self.w = torch.zeros(features.shape[1], FOLDS)
        self.u = torch.zeros(len(used), FOLDS)
        self.penalty = WEIGHT_PENALTIES[0]

    def best_gaps(self, eta: Tensor, fold: Tensor) -> Tensor:
        """`gaps` with the penalty of the highest held-out likelihood, which is kept."""
        found = []
        for self.penalty in WEIGHT_PENALTIES:
            gaps = self.gaps(eta, fold)
            error = -(self.answer_weight * _log_likelihood(gaps, eta)).sum().item()
            found.append((error, self.penalty, gaps, self.w, self.u))
        _, self.penalty, gaps, self.w, self.u = min(found, key=lambda each: each[0])
        return gaps

    def gaps(self, eta: Tensor, fold: Tensor) -> Tensor:
        """d of each comparison by rewards fitted without its fold, given its annotator's eta. [C]"""
        w, u = self.w.clone().requires_grad_(), self.u.clone().requires_grad_()
        seen = (fold[:, None] != torch.arange(FOLDS)) * self.answer_weight[:, None]  # [C, FOLDS]
        optimizer = torch.optim.LBFGS([w, u], max_iter=25, history_size=10, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            fit = -(_log_likelihood(self._all(w, u), eta[:, None]) * seen).sum()
            held = self.penalty / 2 * w.square().sum() + TEXT_PENALTY / 2 * u.square().sum()
            value: Tensor = (fit + held) / len(fold)
            value.backward()  # type: ignore[no-untyped-call]
            return value

        optimizer.step(loss)  # type: ignore[no-untyped-call]
        self.w, self.u = w.detach(), u.detach()
        return self._all(self.w, self.u).gather(1, fold[:, None])[:, 0]

    def _all(self, w: Tensor, u: Tensor) -> Tensor:
        """d of each comparison by the rewards of each fold. [C, FOLDS]"""
        return self.gaps_of_features @ w + u[self.chosen] - u[self.rejected]


def _log_likelihood(gaps: Tensor, eta: Tensor) -> Tensor:
    """Of the answers given, by Crowd-BT; `eta` strictly between 0 and 1, and shaped to go with `gaps`."""
    return torch.logaddexp(eta.log() + logsigmoid(gaps), (1 - eta).log() + logsigmoid(-gaps))
