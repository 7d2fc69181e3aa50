"""What every reward model can be asked, be it one head, several heads on one trunk, or several whole models.

N texts, M members. A single reward model has one member, and every use of it is the same.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from training.gpt.tokenizer import Tokenizer
from training.rlhf.scorers import Scorer

USES = ("mean", "minimum", "cautious")
"""How the members' scores become one reward (Coste et al. 2023, section 4.1)."""


class Judge(nn.Module, ABC):
    """Gives texts a reward with mean 0 and deviation 1 on the reference policy's samples, however it is used:
    then a KL coefficient means the same from one reward model, and from one use, to the next.
    """

    tokenizer: Tokenizer
    uses: Tensor
    """Mean and deviation, on the reference samples, of what each use makes of the members. [3, 2]"""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("uses", torch.tensor([[0.0, 1.0]] * len(USES)))

    @property
    @abstractmethod
    def members(self) -> int:
        """How many scores a text gets."""

    @property
    @abstractmethod
    def context(self) -> int:
        """The longest text it can read, in tokens."""

    @abstractmethod
    def rewards(self, rows: Sequence[Sequence[int]], *, batch_size: int = 128) -> Tensor:
        """Reward of rows of ids by each member, each normalised; no gradient, dropout off. [N, M]"""

    @abstractmethod
    def normalise_members(self, rewards: Tensor) -> None:
        """Set each member's gain and bias so that these rewards [N, M] of its have mean 0 and deviation 1."""

    @abstractmethod
    def trained_units(self, rewards: Tensor) -> Tensor:
        """Rewards [N, M] of members in the units of the loss they were trained by, but for a constant."""

    def encode(self, prompts: Sequence[str], completions: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, `<begin> prompt + completion <end>`; one too long loses its beginning."""
        begin, end = self.tokenizer.bos_id, self.tokenizer.eos_id
        texts = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        return [[begin, *ids, end][-self.context :] for ids in self.tokenizer.encode_batch(texts)]

    def member_scores(
        self, prompts: Sequence[str], completions: Sequence[str], *, batch_size: int = 128
    ) -> Tensor:
        """What each member thinks of each completion. [N, M]"""
        return self.rewards(self.encode(prompts, completions), batch_size=batch_size)

    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        *,
        use: str = "mean",
        batch_size: int = 128,
    ) -> list[float]:
        """A Scorer: the reward of each completion."""
        members = self.member_scores(prompts, completions, batch_size=batch_size)
        rewards: list[float] = self.combined(members, use=use).tolist()
        return rewards

    def scorer(self, use: str = "mean") -> Scorer:
        """A Scorer that makes one reward of the members': their `mean`; their `minimum`; or `cautious`, the
        mean less the variance, so that what they disagree about is worth less."""
        return partial(self.score, use=use)

    def disagreement(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """Deviation of the members' scores of each completion; 0 where there is but one member."""
        members = self.member_scores(prompts, completions)
        deviations: list[float] = members.std(dim=1, correction=0).tolist()
        return deviations

    def combined(self, members: Tensor, *, use: str) -> Tensor:
        """One reward of the members' scores, on the scale of the reference samples. [N, M] -> [N]"""
        mean, deviation = self.uses[USES.index(use)]
        combined: Tensor = (combine(members, use=use) - mean) / deviation
        return combined

    def normalise(self, prompts: Sequence[str], completions: Sequence[str]) -> None:
        """Scale every member and every use to mean 0 and deviation 1 on these texts: samples of the reference
        policy (Ziegler et al. 2019). What is constant on them keeps its scale."""
        rows = self.encode(prompts, completions)
        rewards = self.rewards(rows)
        self.normalise_members(rewards)
        mean, deviation = mean_and_deviation(rewards)
        rewards = (rewards - mean) / deviation
        for place, use in enumerate(USES):
            self.uses[place] = torch.stack(mean_and_deviation(combine(rewards, use=use)))


def combine(members: Tensor, *, use: str) -> Tensor:
    """What a use makes of the members' scores. [N, M] -> [N]"""
    if use == "minimum":
        return members.amin(dim=1)
    mean = members.mean(dim=1)
    return mean - members.var(dim=1, correction=0) if use == "cautious" else mean


def mean_and_deviation(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the first dimension; a deviation of 0 is given as 1."""
    deviation = rewards.std(dim=0, correction=0)
    return rewards.mean(dim=0), deviation.where(deviation > 1e-6, torch.ones_like(deviation))
