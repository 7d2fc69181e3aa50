"""The feedback of one split in batches of whole prompts, and the loss of a batch."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.gpt.errors import InputError
from training.gpt.random_seeds import permute
from training.rlhf.feedback.splits import Feedback
from training.rlhf.reward.loss_terms import AnnotatorWeight, LossTerm, PairwiseTerm, RankingTerm, ScoreTerm
from training.rlhf.reward.reward_model import BaseRewardModel
from training.rlhf.truncation import TruncationCounts

Text = tuple[str, str]
"""A prompt and a completion."""

BATCHES_PER_SORT = 8  # prompts are sorted by length within this many batches
PREFERENCE_TERMS = ("pairs", "choices")  # terms with a common divisor; scores are divided separately


class Batch(NamedTuple):
    """The feedback on some prompts."""

    texts: Tensor  # [T] indices among all texts, each once
    rows: dict[str, Tensor]  # by term, the indices of its rows


class FeedbackBatches:
    """The feedback of one split, grouped by prompt, and the batches of each epoch.

    P prompts (examples with equal split keys), N texts, M ensemble members whose heads share a trunk.
    """

    def __init__(
        self,
        feedback: Feedback,
        reward_model: BaseRewardModel,
        *,
        annotator_weight: AnnotatorWeight,
        device: torch.device,
        training: "FeedbackBatches | None" = None,
    ) -> None:
        """Held-out scores are standardised as those of the `training` split."""
        rows, self.truncation = encode_by_prompt(feedback, reward_model)
        given, feedback = feedback, distinguishable_feedback(feedback, rows)
        self.truncation.left_out = self.truncation.units - len(list(feedback.examples))
        if training is None and given.has_preference and not feedback.has_preference:
            raise InputError(
                "preferences: every preferred text is the same as the others in the policy's tokens that fit "
                "its context; collect shorter texts, or take a policy with a longer context"
            )
        texts = list(dict.fromkeys(text for example in feedback.examples for text in example.texts))
        index = {text: number for number, text in enumerate(texts)}
        self.rows = [rows[text] for text in texts]
        self.device = device
        self.terms: dict[str, LossTerm] = {}
        self.pairs: PairwiseTerm | None = None
        self.scores: ScoreTerm | None = None
        if feedback.pairs:
            self.pairs = PairwiseTerm(feedback.pairs, index, annotator_weight=annotator_weight, device=device)
            self.terms["pairs"] = self.pairs
        if feedback.rankings:
            self.terms["choices"] = RankingTerm(
                feedback.rankings, index, annotator_weight=annotator_weight, device=device
            )
        if feedback.ratings:
            self.scores = ScoreTerm(
                feedback.ratings,
                index,
                annotator_weight=annotator_weight,
                training_scores=training.scores if training else None,
                device=device,
            )
            self.terms["scores"] = self.scores
        texts_by_key: defaultdict[str, set[int]] = defaultdict(set)
        for example in feedback.examples:
            texts_by_key[example.split_key].update(index[text] for text in example.texts)
        self.texts = [sorted(indices) for indices in texts_by_key.values()]  # P
        self.length = [max(len(self.rows[text]) for text in indices) for indices in self.texts]  # P
        numbers = {key: number for number, key in enumerate(texts_by_key)}
        self.prompt_of_row = {
            name: torch.tensor([numbers[key] for key in term.split_keys], device=device)
            for name, term in self.terms.items()
        }
        self.rows_by_prompt: dict[str, list[list[int]]] = {}
        for name, term in self.terms.items():
            self.rows_by_prompt[name] = [[] for _ in numbers]
            for row, key in enumerate(term.split_keys):
                self.rows_by_prompt[name][numbers[key]].append(row)
        self.weight = {
            name: [math.fsum(term.weight[rows].tolist()) for rows in self.rows_by_prompt[name]]
            for name, term in self.terms.items()
        }

    @property
    def count(self) -> int:
        """The number of rows of all terms."""
        return sum(len(term.split_keys) for term in self.terms.values())

    def prompts_per_batch(self, batch_size: int) -> int:
        """The number of prompts that have about `batch_size` texts."""
        return max(1, round(batch_size * len(self.texts) / len(self.rows)))

    def batches_per_epoch(self, size: int) -> int:
        """The number of batches of `size` prompts in one epoch."""
        full, rest = divmod(len(self.texts), BATCHES_PER_SORT * size)
        return BATCHES_PER_SORT * full + math.ceil(rest / size)

    def epoch_batches(self, epoch: int, *, size: int, seed: int) -> list[list[int]]:
        """The prompts of each batch of an epoch; depends on the arguments only, so any step can be redone."""
        prompts = permute(np.arange(len(self.texts)), len(self.texts), seed, epoch).tolist()
        batches = []
        # Sorting within a few batches keeps most of the randomness and saves most of the padding.
        for start in range(0, len(prompts), BATCHES_PER_SORT * size):
            part = sorted(prompts[start : start + BATCHES_PER_SORT * size], key=self.length.__getitem__)
            batches += [part[first : first + size] for first in range(0, len(part), size)]
        return [batches[index] for index in permute(np.arange(len(batches)), len(batches), seed, epoch, 1)]

    def batch(self, prompts: Sequence[int]) -> Batch:
        """The rows of these prompts, and the texts they refer to."""
        texts = sorted(text for prompt in prompts for text in self.texts[prompt])
        rows = {
            name: [row for prompt in prompts for row in by_prompt[prompt]]
            for name, by_prompt in self.rows_by_prompt.items()
        }
        return Batch(
            torch.tensor(texts, dtype=torch.long, device=self.device),
            {name: torch.tensor(some, dtype=torch.long, device=self.device) for name, some in rows.items()},
        )

    def divisors(self, prompts: Sequence[int]) -> dict[str, float]:
        """By term, what its summed loss is divided by: the total weight of pairs and rankings together, and
        that of scores."""
        sums = {name: math.fsum(weight[prompt] for prompt in prompts) for name, weight in self.weight.items()}
        preferences = math.fsum(weight for name, weight in sums.items() if name in PREFERENCE_TERMS)
        return {
            name: (preferences if name in PREFERENCE_TERMS else weight) or 1.0
            for name, weight in sums.items()
        }

    def scatter_rewards(self, batch: Batch, rewards: Tensor) -> Tensor:
        """Rewards of a batch's texts at their indices among all texts, 0 elsewhere. [T, M] -> [N, M]"""
        return rewards.new_zeros(len(self.rows), rewards.shape[1]).index_copy(0, batch.texts, rewards)

    def loss(
        self, batch: Batch, rewards: Tensor, divisors: Mapping[str, float], counts: Tensor | None = None
    ) -> Tensor:
        """The loss of a batch, mean over members; `rewards` [N, M] from `scatter_rewards`. Scalar, in nats.

        `counts` [P, M] are the bootstrap counts of each prompt for each member.
        """
        loss = rewards.new_zeros(())
        for name, term in self.terms.items():
            rows = batch.rows[name]
            if len(rows):
                weight = term.weight[rows, None]
                if counts is not None:
                    weight = weight * counts[self.prompt_of_row[name][rows]]
                losses = term.losses(rewards, rows)
                loss = loss + (weight * losses).sum(dim=0).mean() / divisors[name]
        return loss

    def evaluate(self, rewards: Tensor) -> Tensor:
        """The loss of the whole split and the accuracy on its pairs. [N, M] -> [2], on the CPU"""
        prompts = range(len(self.texts))
        batch = self.batch(prompts)
        loss = self.loss(batch, rewards.float(), self.divisors(prompts)).cpu()
        right, _, count = self.accuracy_sums(batch, rewards).unbind()
        return torch.stack([loss, right / count]).double()

    def accuracy_sums(self, batch: Batch, rewards: Tensor) -> Tensor:
        """Of the pairs of a batch without ties: how many the mean member orders as annotators did, the sum of
        r_chosen - r_rejected, and their number; equal rewards are half right. [3], on the CPU

        `rewards` [N, M] are from `scatter_rewards`.
        """
        if self.pairs is None:
            return torch.zeros(3)
        rows = batch.rows["pairs"]
        difference = self.pairs.differences(rewards, rows).mean(dim=1)[~self.pairs.tie[rows, 0]]
        right = ((difference.sign() + 1) / 2).sum()
        return torch.stack([right, difference.sum(), torch.ones_like(difference).sum()]).cpu()


def encode_by_prompt(
    feedback: Feedback, reward_model: BaseRewardModel
) -> tuple[dict[Text, list[int]], TruncationCounts]:
    """The ids of each text, of which those with the same prompt read the same tokens of it; what was cut."""
    texts = list(dict.fromkeys(text for example in feedback.examples for text in example.texts))
    rows = reward_model.tokenizer.encode_texts(
        [prompt for prompt, _ in texts], [completion for _, completion in texts]
    )
    longest: defaultdict[str, int] = defaultdict(int)
    for (prompt, _), row in zip(texts, rows, strict=True):
        longest[prompt] = max(longest[prompt], len(row))
    context = reward_model.context
    size = {
        prompt: len(reward_model.tokenizer.prompt(prompt))
        for prompt, length in longest.items()
        if length > context
    }
    units = [prompt for ((prompt, _), *_) in (example.texts for example in feedback.examples)]
    cut = TruncationCounts(
        units=len(units),
        prompts=sum(size.get(prompt, 0) > 1 for prompt in units),
        completions=sum(longest[each] - size[each] + 1 > context for each in units if each in size),
    )
    fitted = {
        text: reward_model.fit(row, text[0], longest=longest[text[0]])
        for text, row in zip(texts, rows, strict=True)
    }
    return fitted, cut


def distinguishable_feedback(feedback: Feedback, rows: Mapping[Text, Sequence[int]]) -> Feedback:
    """The feedback without pairs and rankings of texts that are all the same tokens.

    Of equal texts in a ranking the best stays.
    """
    pairs = [pair for pair in feedback.pairs if len({tuple(rows[text]) for text in pair.texts}) > 1]
    rankings = []
    for ranking in feedback.rankings:
        best: dict[tuple[int, ...], int] = {}
        for item in sorted(range(len(ranking.ranks)), key=ranking.ranks.__getitem__):
            best.setdefault(tuple(rows[ranking.texts[item]]), item)
        items = sorted(best.values())
        if len(items) > 1:
            rankings.append(
                ranking._replace(
                    completions=[ranking.completions[item] for item in items],
                    ranks=tuple(ranking.ranks[item] for item in items),
                )
            )
    return Feedback(pairs=pairs, rankings=rankings, ratings=feedback.ratings)


def bootstrap_counts(prompts: int, *, members: int, seed: int) -> Tensor | None:
    """How often each prompt counts for each ensemble member; None for a single member. [P, M]

    Heads on one trunk that learn from the same data would agree. Each gets its own bootstrap sample of the
    feedback (Breiman 1996), drawn as Poisson counts with mean 1 (Oza and Russell 2001).
    """
    if members == 1:
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(torch.ones(prompts, members), generator=generator)
