"""Feedback as tensors, with the loss of each kind of feedback.

N different texts, M ensemble members. Each term has its own number of rows; a row refers to its texts by
their indices among the N, so that a text is read once in a batch however many rows refer to it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from training.rlhf.feedback.preferences import Comparison, Rating
from training.rlhf.feedback.rankings import Ranking, plackett_luce_choices
from training.rlhf.losses import bradley_terry_loss, plackett_luce_loss, score_loss

TextIndex = Mapping[tuple[str, str], int]
"""The index of each (prompt, completion)."""

AnnotatorWeight = Callable[[str], float]
"""The weight of an annotator's answers."""


class LossTerm(Protocol):
    """One kind of feedback."""

    split_keys: list[str]
    """Of each row; see `Comparison.split_key`."""
    weight: Tensor
    """Of each row, in the loss."""

    def losses(self, rewards: Tensor, rows: Tensor) -> Tensor:
        """The losses of some rows, given the rewards of all texts. [N, M] -> [rows, M], in nats"""
        ...


class PairwiseTerm:
    """Comparisons of two texts: the Bradley-Terry loss."""

    def __init__(
        self,
        pairs: Sequence[Comparison],
        index: TextIndex,
        *,
        annotator_weight: AnnotatorWeight,
        device: torch.device,
    ) -> None:
        self.split_keys = [pair.split_key for pair in pairs]
        self.chosen, self.rejected = (
            torch.tensor([index[pair.texts[side]] for pair in pairs], device=device) for side in (0, 1)
        )
        self.margin = torch.tensor([[pair.margin] for pair in pairs], device=device)
        self.tie = torch.tensor([[pair.tie] for pair in pairs], device=device)
        # All pairs of a ranking of K together weigh 1: they are not independent (Ouyang et al. 2022, 3.5).
        answers = [
            (pair.prompt, pair.group, pair.annotator) if pair.group else number
            for number, pair in enumerate(pairs)
        ]
        sizes = Counter(answers)
        weights = [
            annotator_weight(pair.annotator) / sizes[name] for pair, name in zip(pairs, answers, strict=True)
        ]
        self.weight = torch.tensor(weights, device=device)

    def differences(self, rewards: Tensor, rows: Tensor) -> Tensor:
        """r_chosen - r_rejected of some rows, given the rewards of all texts. [N, M] -> [C, M]"""
        return rewards[self.chosen[rows]] - rewards[self.rejected[rows]]

    def losses(self, rewards: Tensor, rows: Tensor) -> Tensor:
        """See `LossTerm`."""
        difference = self.differences(rewards, rows)
        return bradley_terry_loss(difference, margin=self.margin[rows], tie=self.tie[rows])


class RankingTerm:
    """Rankings of up to K texts: the Plackett-Luce loss, one row per choice.

    A ranking weighs 1 in total, as a pair does, whatever its number of choices.
    """

    def __init__(
        self,
        rankings: Sequence[Ranking],
        index: TextIndex,
        *,
        annotator_weight: AnnotatorWeight,
        device: torch.device,
    ) -> None:
        size = max(len(ranking.ranks) for ranking in rankings)
        items, first, among, weights = [], [], [], []
        self.split_keys = []
        for ranking in rankings:
            choices = plackett_luce_choices(ranking.ranks)
            total = sum(choice.weight for choice in choices)
            texts = [index[text] for text in ranking.texts]
            for choice in choices:
                items.append(texts + [0] * (size - len(texts)))
                first.append([item in choice.first for item in range(size)])
                among.append([item in choice.among for item in range(size)])
                weights.append(annotator_weight(ranking.annotator) * choice.weight / total)
                self.split_keys.append(ranking.split_key)
        self.items = torch.tensor(items, device=device)  # [S, K], as the next two
        self.first = torch.tensor(first, device=device)
        self.among = torch.tensor(among, device=device)
        self.weight = torch.tensor(weights, device=device)

    def losses(self, rewards: Tensor, rows: Tensor) -> Tensor:
        """See `LossTerm`."""
        return plackett_luce_loss(rewards[self.items[rows]], first=self.first[rows], among=self.among[rows])


class ScoreTerm:
    """Scores of texts: regression on scores with mean 0 and deviation 1."""

    def __init__(
        self,
        ratings: Sequence[Rating],
        index: TextIndex,
        *,
        annotator_weight: AnnotatorWeight,
        training_scores: "ScoreTerm | None",
        device: torch.device,
    ) -> None:
        """Held-out scores are standardised by the mean and deviation of `training_scores`."""
        self.split_keys = [rating.split_key for rating in ratings]
        scores = torch.tensor([[rating.score] for rating in ratings], device=device)
        self.mean: Tensor = training_scores.mean if training_scores else scores.mean()
        self.deviation: Tensor = (
            training_scores.deviation if training_scores else scores.std(correction=0).clamp_min(1e-6)
        )
        self.text = torch.tensor([index[rating.texts[0]] for rating in ratings], device=device)
        self.score = (scores - self.mean) / self.deviation
        self.weight = torch.tensor([annotator_weight(rating.annotator) for rating in ratings], device=device)

    def losses(self, rewards: Tensor, rows: Tensor) -> Tensor:
        """See `LossTerm`."""
        return score_loss(rewards[self.text[rows]], scores=self.score[rows])
