"""All lessons of one side, in batches of whole prompts, and the loss of a batch."""

import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.rlhf.feedback.splits import Feedback
from training.rlhf.reward.loss_terms import AnnotatorWeight, LossTerm, Pairs, RankingTerm, Scores
from training.rlhf.reward.reward_model import BaseRewardModel

STRETCH = 8  # batches among which units are sorted by length
ORDERS = ("pairs", "choices")  # kinds that are weighed together; scores are another term of the loss


class Batch(NamedTuple):
    """The lessons of some units."""

    texts: Tensor  # [T] places among all texts, each once
    which: dict[str, Tensor]  # by kind, the places of lessons in their table


class FeedbackBatches:
    """The lessons of one side by unit, and the order they are taken in.

    U units (prompts, most of them), N texts, M members of an ensemble whose heads share a trunk.
    """

    def __init__(
        self,
        feedback: Feedback,
        judge: BaseRewardModel,
        *,
        trust: AnnotatorWeight,
        device: torch.device,
        like: "FeedbackBatches | None" = None,
    ) -> None:
        """`like` is the training side, on whose scale held-out scores are."""
        texts = list(dict.fromkeys(text for lesson in feedback.examples for text in lesson.texts))
        index = {text: place for place, text in enumerate(texts)}
        self.rows = judge.encode([prompt for prompt, _ in texts], [completion for _, completion in texts])
        self.device = device
        self.kinds: dict[str, LossTerm] = {}
        self.pairs: Pairs | None = None
        self.scores: Scores | None = None
        if feedback.pairs:
            self.pairs = Pairs(feedback.pairs, index, trust=trust, device=device)
            self.kinds["pairs"] = self.pairs
        if feedback.rankings:
            self.kinds["choices"] = RankingTerm(feedback.rankings, index, trust=trust, device=device)
        if feedback.ratings:
            scale = like.scores if like else None
            self.scores = Scores(feedback.ratings, index, trust=trust, like=scale, device=device)
            self.kinds["scores"] = self.scores
        texts_of: defaultdict[str, set[int]] = defaultdict(set)
        for lesson in feedback.examples:
            texts_of[lesson.split_key].update(index[text] for text in lesson.texts)
        self.texts = [sorted(places) for places in texts_of.values()]  # U
        self.length = [max(len(self.rows[place]) for place in places) for places in self.texts]  # U
        numbers = {unit: number for number, unit in enumerate(texts_of)}
        self.split_key = {
            kind: torch.tensor([numbers[unit] for unit in lessons.units], device=device)
            for kind, lessons in self.kinds.items()
        }
        self.lessons: dict[str, list[list[int]]] = {}
        for kind, lessons in self.kinds.items():
            self.lessons[kind] = [[] for _ in numbers]
            for place, unit in enumerate(lessons.units):
                self.lessons[kind][numbers[unit]].append(place)

        self.weight = {
            kind: [math.fsum(lessons.weight[places].tolist()) for places in self.lessons[kind]]
            for kind, lessons in self.kinds.items()
        }

    def units_of(self, batch_size: int) -> int:
        """How many units hold about so many texts."""
        return max(1, round(batch_size * len(self.texts) / len(self.rows)))

    def steps(self, size: int) -> int:
        """Batches of `size` units in one pass over all."""
        full, rest = divmod(len(self.texts), STRETCH * size)
        return STRETCH * full + math.ceil(rest / size)

    def order(self, epoch: int, *, size: int, seed: int) -> list[list[int]]:
        """The units of each batch of an epoch; it depends on nothing else, so that any step can be redone."""
        rng = random.Random(f"{seed} {epoch}")
        units = rng.sample(range(len(self.texts)), len(self.texts))
        groups = []
        # Sorting within a stretch keeps most of the disorder and saves most of the pads.
        for start in range(0, len(units), STRETCH * size):
            stretch = sorted(units[start : start + STRETCH * size], key=self.length.__getitem__)
            groups += [stretch[first : first + size] for first in range(0, len(stretch), size)]
        return rng.sample(groups, len(groups))

    def batch(self, units: Sequence[int]) -> Batch:
        """The lessons of these units, and the texts they are about."""
        texts = sorted(place for unit in units for place in self.texts[unit])
        which = {
            kind: [place for unit in units for place in by_unit[unit]]
            for kind, by_unit in self.lessons.items()
        }
        return Batch(
            torch.tensor(texts, dtype=torch.long, device=self.device),
            {kind: torch.tensor(rows, dtype=torch.long, device=self.device) for kind, rows in which.items()},
        )

    def divisors(self, units: Sequence[int]) -> dict[str, float]:
        """What the losses of these units are divided by: the weight of all orders, pairs and rankings alike,
        and that of all scores, which are another term."""
        sums = {kind: math.fsum(weight[unit] for unit in units) for kind, weight in self.weight.items()}
        orders = math.fsum(weight for kind, weight in sums.items() if kind in ORDERS)
        return {kind: (orders if kind in ORDERS else weight) or 1.0 for kind, weight in sums.items()}

    def everywhere(self, batch: Batch, rewards: Tensor) -> Tensor:
        """Rewards of the texts of a batch, at the places of these among all. [T, M] -> [N, M]"""
        return rewards.new_zeros(len(self.rows), rewards.shape[1]).index_copy(0, batch.texts, rewards)

    def loss(
        self, batch: Batch, rewards: Tensor, divisors: Mapping[str, float], copies: Tensor | None = None
    ) -> Tensor:
        """The loss of a batch, the mean over members; `rewards` [N, M] are `everywhere`. Scalar, in nats.

        `copies` [U, M] says how often each unit counts for each member.
        """
        loss = rewards.new_zeros(())
        for kind, lessons in self.kinds.items():
            which = batch.which[kind]
            if len(which):
                weight = lessons.weight[which, None]
                if copies is not None:
                    weight = weight * copies[self.split_key[kind][which]]
                losses = lessons.losses(rewards, which)
                loss = loss + (weight * losses).sum(dim=0).mean() / divisors[kind]
        return loss

    @property
    def count(self) -> int:
        """How many lessons there are, of all kinds."""
        return sum(len(lessons.units) for lessons in self.kinds.values())

    def measure(self, rewards: Tensor) -> Tensor:
        """The loss of all lessons, and the share of pairs ordered as people did. [N, M] -> [2], on the CPU"""
        units = range(len(self.texts))
        batch = self.batch(units)
        loss = self.loss(batch, rewards.float(), self.divisors(units)).cpu()
        right, _, count = self.agreement(batch, rewards).unbind()
        return torch.stack([loss, right / count]).double()

    def agreement(self, batch: Batch, rewards: Tensor) -> Tensor:
        """Of the pairs of a batch but for ties, how many the mean member orders as people did, the sum of
        r_chosen - r_rejected, and how many there are; equal rewards are half right. [3], on the CPU

        `rewards` [N, M] are `everywhere`.
        """
        if self.pairs is None:
            return torch.zeros(3)
        which = batch.which["pairs"]
        difference = self.pairs.differences(rewards, which).mean(dim=1)[~self.pairs.tie[which, 0]]
        right = ((difference.sign() + 1) / 2).sum()
        return torch.stack([right, difference.sum(), torch.ones_like(difference).sum()]).cpu()


def bootstrap_counts(units: int, *, members: int, seed: int) -> Tensor | None:
    """How often each unit counts for each member of an ensemble on one trunk; None for a single one. [U, M]

    The heads would agree without it: on a trunk they share, all learn the same from the same. Each gets a
    sample of its own, with replacement, of what people said (Breiman 1996), drawn as Poisson counts, whose
    mean of 1 leaves the loss as it was (Oza and Russell 2001).
    """
    if members == 1:
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(torch.ones(units, members), generator=generator)
