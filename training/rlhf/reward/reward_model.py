"""Reward models: a policy's trunk with scalar heads, read at the end of the text; and ensembles of them.

N texts, M ensemble members; a single reward model has one member.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Self, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.gpt.checkpoint import load_checkpoint, load_weights, read_config, save_checkpoint, save_weights
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.rlhf.reward_functions import Scorer
from training.rlhf.truncation import fit_row

HEAD_FILE = "reward_head.safetensors"

AGGREGATIONS = ("mean", "minimum", "cautious")
"""How the members' rewards become one (Coste et al. 2023, section 4.1): their mean; their minimum; or
`cautious`, the mean minus the variance, so that completions they disagree about are worth less."""


class BaseRewardModel(nn.Module, ABC):
    """The interface of single reward models and ensembles.

    By every aggregation, rewards have mean 0 and deviation 1 on samples of the reference policy, so that a KL
    coefficient means the same for every reward model.
    """

    tokenizer: Tokenizer
    uses: Tensor
    """Mean and deviation of each aggregation on the reference samples [3, 2]; the name is stored in files."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("uses", torch.tensor([[0.0, 1.0]] * len(AGGREGATIONS)))

    @property
    @abstractmethod
    def members(self) -> int:
        """How many rewards a text gets."""

    @property
    @abstractmethod
    def context(self) -> int:
        """The maximum text length in tokens."""

    @abstractmethod
    def rewards(self, rows: Sequence[Sequence[int]], *, batch_size: int = 128) -> Tensor:
        """Normalised reward of rows of ids by each member; no gradient, dropout off. [N, M]"""

    @abstractmethod
    def normalise_members(self, rewards: Tensor) -> None:
        """Set each member's gain and bias so that these rewards [N, M] have mean 0 and deviation 1."""

    @abstractmethod
    def unnormalised(self, rewards: Tensor) -> Tensor:
        """Rewards [N, M] in the units of the training loss, up to a constant."""

    def encode(self, prompts: Sequence[str], completions: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, `<begin> prompt + completion <end>`, cut to the context by `fit_row`.

        A conversation and its answer are what the chat template makes of them.
        """
        rows = self.tokenizer.encode_texts(prompts, completions)
        return [self.fit(row, prompt, longest=len(row)) for row, prompt in zip(rows, prompts, strict=True)]

    def fit(self, row: list[int], prompt: str, *, longest: int) -> list[int]:
        """The row of a text cut to the context, so that the longest text with this prompt fits."""
        if longest <= self.context:
            return row
        tokens = len(self.tokenizer.prompt(prompt))
        return fit_row(row, prompt=tokens, context=self.context, longest=longest)

    def member_scores(
        self, prompts: Sequence[str], completions: Sequence[str], *, batch_size: int = 128
    ) -> Tensor:
        """The reward of each completion by each member. [N, M]"""
        return self.rewards(self.encode(prompts, completions), batch_size=batch_size)

    def score(
        self,
        prompts: Sequence[str],
        completions: Sequence[str],
        *,
        aggregation: str = "mean",
        batch_size: int = 128,
    ) -> list[float]:
        """A Scorer: the reward of each completion."""
        members = self.member_scores(prompts, completions, batch_size=batch_size)
        rewards: list[float] = self.aggregate_normalised(members, aggregation=aggregation).tolist()
        return rewards

    def scorer(self, aggregation: str = "mean") -> Scorer:
        """`score` with this aggregation, as a Scorer."""
        return partial(self.score, aggregation=aggregation)

    def disagreement(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """Standard deviation of the members' rewards of each completion; 0 for a single member."""
        members = self.member_scores(prompts, completions)
        deviations: list[float] = members.std(dim=1, correction=0).tolist()
        return deviations

    def aggregate_normalised(self, members: Tensor, *, aggregation: str) -> Tensor:
        """The members' rewards as one reward, on the scale of the reference samples. [N, M] -> [N]"""
        mean, deviation = self.uses[AGGREGATIONS.index(aggregation)]
        aggregate_normalised: Tensor = (aggregate(members, aggregation=aggregation) - mean) / deviation
        return aggregate_normalised

    def normalise(self, prompts: Sequence[str], completions: Sequence[str]) -> None:
        """Scale every member and every aggregation to mean 0 and deviation 1 on these texts, samples of the
        reference policy (Ziegler et al. 2019). Constant rewards keep their scale."""
        rows = self.encode(prompts, completions)
        rewards = self.rewards(rows)
        self.normalise_members(rewards)
        mean, deviation = mean_and_deviation(rewards)
        rewards = (rewards - mean) / deviation
        for index, aggregation in enumerate(AGGREGATIONS):
            self.uses[index] = torch.stack(mean_and_deviation(aggregate(rewards, aggregation=aggregation)))


class RewardModel(BaseRewardModel):
    """A transformer trunk with one scalar head, or several.

    The text is `<begin> prompt + completion <end>`, and the heads read the final state of `<end>`. That token
    is always added, whether the policy wrote it or not: stored texts do not say, and the reward must be the
    same in training and in use. A missing end is penalised by the policy gradient instead.
    """

    gain: Tensor
    bias: Tensor

    def __init__(
        self,
        trunk: GPT,
        tokenizer: Tokenizer,
        *,
        members: int = 1,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.tokenizer = tokenizer
        width = trunk.config.width
        self.head = nn.Linear(width, members)
        # Small enough that all rewards begin about equal (Stiennon et al. 2020, appendix B.2).
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(width + 1), generator=generator)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("gain", torch.ones(members))
        self.register_buffer("bias", torch.zeros(members))
        if not trunk.config.tied:
            trunk.head.requires_grad_(requires_grad=False)  # no next token is predicted here
        self.to(trunk.device)

    @property
    def members(self) -> int:
        """How many heads it has."""
        return self.head.out_features

    @property
    def context(self) -> int:
        """The maximum text length in tokens."""
        return self.trunk.config.context

    def final_states(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """The trunk's final state at the last token of each row of ids, with gradient. [N, D]"""
        return self.trunk.packed_hidden(rows, first=[len(row) - 1 for row in rows])

    def rewards_of_states(self, states: Tensor) -> Tensor:
        """Normalised reward of final states by each head. [N, D] -> [N, M]"""
        reward: Tensor = self.head(states)
        return self.gain * reward + self.bias

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Reward of rows of ids by each head, with gradient. [N, M]"""
        return self.rewards_of_states(self.final_states(rows))

    @torch.no_grad()
    def rewards(self, rows: Sequence[Sequence[int]], *, batch_size: int = 128) -> Tensor:
        """Reward of rows of ids by each head; no gradient, dropout off. [N, M]"""
        return self.rewards_of_states(self.compute_final_states(rows, batch_size=batch_size))

    @torch.no_grad()
    def compute_final_states(self, rows: Sequence[Sequence[int]], *, batch_size: int = 128) -> Tensor:
        """`final_states` of any number of rows in batches, without gradient and dropout. [N, D]

        Rows of similar length share a batch.
        """
        was_training = self.training
        self.eval()
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        states = torch.empty(len(rows), self.trunk.config.width, device=self.trunk.device)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            states[batch] = self.final_states([rows[index] for index in batch]).float()
        self.train(was_training)
        return states

    def normalise_members(self, rewards: Tensor) -> None:
        """Set each head's gain and bias so that these rewards [N, M] have mean 0 and deviation 1."""
        mean, deviation = mean_and_deviation(rewards)
        self.gain.div_(deviation)
        self.bias.sub_(mean).div_(deviation)

    def unnormalised(self, rewards: Tensor) -> Tensor:
        """Rewards [N, M] before normalisation; sigma of their differences predicts preferences."""
        return rewards / self.gain

    def save(self, folder: Path, extra: dict[str, object] | None = None) -> None:
        """Save the trunk as a policy checkpoint, the heads and their normalisation in a file beside it."""
        _save(folder, [self], self, extra)

    @classmethod
    def from_policy(cls, policy: GPT, tokenizer: Tokenizer, *, seed: int, members: int = 1) -> Self:
        """A new reward model on a copy of the policy."""
        generator = torch.Generator().manual_seed(seed)
        return cls(copy.deepcopy(policy), tokenizer, members=members, generator=generator)


class Ensemble(BaseRewardModel):
    """Several full reward models with the same tokenizer and shape, one head each."""

    def __init__(self, models: Sequence[RewardModel]) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.tokenizer = models[0].tokenizer
        self.uses = self.uses.to(models[0].trunk.device)

    def __iter__(self) -> Iterator[RewardModel]:
        return (cast("RewardModel", model) for model in self.models)

    @property
    def members(self) -> int:
        """How many models it has."""
        return len(self.models)

    @property
    def context(self) -> int:
        """The maximum text length in tokens."""
        return next(iter(self)).context

    def rewards(self, rows: Sequence[Sequence[int]], *, batch_size: int = 128) -> Tensor:
        """Reward of rows of ids by each model; no gradient, dropout off. [N, M]"""
        return torch.cat([model.rewards(rows, batch_size=batch_size) for model in self], dim=1)

    def normalise_members(self, rewards: Tensor) -> None:
        """Set each model's gain and bias so that these rewards [N, M] have mean 0 and deviation 1."""
        for model, own in zip(self, rewards.unbind(dim=1), strict=True):
            model.normalise_members(own[:, None])

    def unnormalised(self, rewards: Tensor) -> Tensor:
        """Rewards [N, M] before normalisation; sigma of their differences predicts preferences."""
        return rewards / torch.cat([model.gain for model in self])

    def save(self, folder: Path, extra: dict[str, object] | None = None) -> None:
        """Save the first trunk as a policy checkpoint, the other trunks and all heads in files beside it."""
        _save(folder, list(self), self, extra)


def _save(
    folder: Path, models: list[RewardModel], reward_model: BaseRewardModel, extra: dict[str, object] | None
) -> None:
    extra = {"kind": "reward", "trunks": len(models), **(extra or {})}
    save_checkpoint(folder, models[0].trunk, models[0].tokenizer, extra=extra)
    for number, model in enumerate(models[1:], start=2):
        save_weights(model.trunk, folder / _member_file(number))
    head = {
        "weight": torch.cat([model.head.weight for model in models]),  # [M, D]
        "bias": torch.cat([model.head.bias for model in models]),  # [M], as the next two
        "gain": torch.cat([model.gain for model in models]),
        "offset": torch.cat([model.bias for model in models]),
        "uses": reward_model.uses,
    }
    partial = folder / (HEAD_FILE + ".partial")
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in head.items()}, partial)
    partial.replace(folder / HEAD_FILE)


def _member_file(number: int) -> str:
    return f"member-{number}.safetensors"


def load_reward_model(folder: Path, *, device: torch.device | str = "cpu") -> RewardModel | Ensemble:
    """Load a saved reward model in evaluation mode. Raises InputError naming a damaged or missing file."""
    trunk, tokenizer = load_checkpoint(folder, device=device)
    path = folder / HEAD_FILE
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; this is a policy, not a reward model: train one from it first"
        )
    trunks = [trunk]
    for number in range(2, 1 + read_config(folder)["extra"].get("trunks", 1)):
        other = GPT(trunk.config)
        load_weights(other, folder / _member_file(number))
        trunks.append(other.to(device))
    try:
        head = load_file(path, device=str(device))
        each = len(head["weight"]) // len(trunks)
        models = []
        for number, own in enumerate(trunks):
            part = slice(number * each, (number + 1) * each)
            model = RewardModel(own, tokenizer, members=each)
            model.head.load_state_dict({"weight": head["weight"][part], "bias": head["bias"][part]})
            model.gain.copy_(head["gain"][part])
            model.bias.copy_(head["offset"][part])
            models.append(model)
        reward_model = models[0] if len(models) == 1 else Ensemble(models)
        reward_model.uses.copy_(head["uses"])
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(f"{path}: does not fit its model ({error}); copy the reward model again") from error
    return reward_model.eval()


def aggregate(members: Tensor, *, aggregation: str) -> Tensor:
    """One reward from those of the members. [N, M] -> [N]"""
    if aggregation == "minimum":
        return members.amin(dim=1)
    mean = members.mean(dim=1)
    return mean - members.var(dim=1, correction=0) if aggregation == "cautious" else mean


def mean_and_deviation(rewards: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation over the first dimension; a deviation of 0 is replaced by 1."""
    deviation = rewards.std(dim=0, correction=0)
    return rewards.mean(dim=0), deviation.where(deviation > 1e-6, torch.ones_like(deviation))
