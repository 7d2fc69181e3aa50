"""Feedback as tables of tensors, with the loss of each kind.

N different texts, M members of the reward model; each table has its own number of lessons. A lesson names its
texts by their places among the N, so that a text is read once in a batch however often it was judged.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from training.rlhf.feedback.preferences import Comparison, Rating
from training.rlhf.feedback.rankings import Ranking, plackett_luce_choices
from training.rlhf.losses import bradley_terry_loss, plackett_luce_loss, score_loss

Index = Mapping[tuple[str, str], int]
"""The place of each prompt with a completion."""

AnnotatorWeight = Callable[[str], float]
"""What the answers of an annotator count."""


class LossTerm(Protocol):
    """One kind of lesson."""

    units: list[str]
    """Of each lesson, what may not be torn apart; see `Comparison.unit`."""
    weight: Tensor
    """Of each lesson, in the loss."""

    def losses(self, rewards: Tensor, which: Tensor) -> Tensor:
        """The losses of some lessons, by the rewards of all texts. [N, M] -> [lessons, M], in nats"""
        ...


class Pairs:
    """Comparisons of two texts, learned by Bradley and Terry's model."""

    def __init__(
        self, pairs: Sequence[Comparison], index: Index, *, trust: AnnotatorWeight, device: torch.device
    ) -> None:
        self.units = [pair.split_key for pair in pairs]
        self.chosen, self.rejected = (
            torch.tensor([index[pair.texts[side]] for pair in pairs], device=device) for side in (0, 1)
        )
        self.margin = torch.tensor([[pair.margin] for pair in pairs], device=device)
        self.tie = torch.tensor([[pair.tie] for pair in pairs], device=device)
        # All pairs of a ranking of K together weigh 1: they are not independent (Ouyang et al. 2022, 3.5).
        answers = [
            (pair.prompt, pair.group, pair.annotator) if pair.group else place
            for place, pair in enumerate(pairs)
        ]
        sizes = Counter(answers)
        weights = [trust(pair.annotator) / sizes[name] for pair, name in zip(pairs, answers, strict=True)]
        self.weight = torch.tensor(weights, device=device)

    def differences(self, rewards: Tensor, which: Tensor) -> Tensor:
        """r_chosen - r_rejected of some pairs, by the rewards of all texts. [N, M] -> [C, M]"""
        return rewards[self.chosen[which]] - rewards[self.rejected[which]]

    def losses(self, rewards: Tensor, which: Tensor) -> Tensor:
        """As `LossTerm` says."""
        difference = self.differences(rewards, which)
        return bradley_terry_loss(difference, margin=self.margin[which], tie=self.tie[which])


class RankingTerm:
    """Choices of the best of up to K texts, which rankings are made of, learned by Plackett and Luce's model.

    A ranking weighs 1 in all, as a pair does, however many choices it takes to make it.
    """

    def __init__(
        self, rankings: Sequence[Ranking], index: Index, *, trust: AnnotatorWeight, device: torch.device
    ) -> None:
        most = max(len(ranking.ranks) for ranking in rankings)
        items, first, among, weights = [], [], [], []
        self.units = []
        for ranking in rankings:
            made = plackett_luce_choices(ranking.ranks)
            total = sum(choice.weight for choice in made)
            places = [index[text] for text in ranking.texts]
            for choice in made:
                items.append(places + [0] * (most - len(places)))
                first.append([item in choice.first for item in range(most)])
                among.append([item in choice.among for item in range(most)])
                weights.append(trust(ranking.annotator) * choice.weight / total)
                self.units.append(ranking.split_key)
        self.items = torch.tensor(items, device=device)  # [S, K], as the next two
        self.first = torch.tensor(first, device=device)
        self.among = torch.tensor(among, device=device)
        self.weight = torch.tensor(weights, device=device)

    def losses(self, rewards: Tensor, which: Tensor) -> Tensor:
        """As `LossTerm` says."""
        return plackett_luce_loss(
            rewards[self.items[which]], first=self.first[which], among=self.among[which]
        )


class Scores:
    """Scores of texts, learned by regression once they have mean 0 and deviation 1."""

    def __init__(
        self,
        ratings: Sequence[Rating],
        index: Index,
        *,
        trust: AnnotatorWeight,
        like: "Scores | None",
        device: torch.device,
    ) -> None:
        """`like` is the training side, on whose scale held-out scores are."""
        self.units = [rating.split_key for rating in ratings]
        scores = torch.tensor([[rating.score] for rating in ratings], device=device)
        self.mean: Tensor = like.mean if like else scores.mean()
        self.deviation: Tensor = like.deviation if like else scores.std(correction=0).clamp_min(1e-6)
        self.text = torch.tensor([index[rating.texts[0]] for rating in ratings], device=device)
        self.score = (scores - self.mean) / self.deviation
        self.weight = torch.tensor([trust(rating.annotator) for rating in ratings], device=device)

    def losses(self, rewards: Tensor, which: Tensor) -> Tensor:
        """As `LossTerm` says."""
        return score_loss(rewards[self.text[which]], scores=self.score[which])
