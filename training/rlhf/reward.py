"""The reward model: a policy's trunk with a scalar head, read at the end of the text."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.gpt.checkpoint import load_checkpoint, save_checkpoint
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer

HEAD_FILE = "reward_head.safetensors"


class RewardModel(nn.Module):
    """One number for a text: how much the annotators would like it.

    The text is `<begin> prompt + completion <end>`, and the state of the `<end>` is what the head reads.
    That last token is always put there, whether the policy wrote it or not: stored text does not say, and the
    reward must not change between training and use. What a missing end costs is the policy gradient's affair.
    A text beyond the context loses its beginning.
    """

    gain: Tensor
    bias: Tensor

    def __init__(self, trunk: GPT, tokenizer: Tokenizer, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.trunk = trunk
        self.tokenizer = tokenizer
        width = trunk.config.width
        self.head = nn.Linear(width, 1)
        # Small enough that all rewards begin about equal (Stiennon et al. 2020, appendix B.2).
        nn.init.normal_(self.head.weight, std=1 / math.sqrt(width + 1), generator=generator)
        nn.init.zeros_(self.head.bias)
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("bias", torch.zeros(()))
        self.to(trunk.device)

    def encode(self, prompts: Sequence[str], completions: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, as the head wants them."""
        begin, end, context = self.tokenizer.bos_id, self.tokenizer.eos_id, self.trunk.config.context
        texts = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
        return [[begin, *ids, end][-context:] for ids in self.tokenizer.encode_batch(texts)]

    def states(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Final state at the last real token of each row of ids. [N, D]

        Rows are padded at the right, where a causal model cannot look from any real token: no mask is needed,
        and what the pad id is does not matter, since the place is taken from the length.
        """
        device = self.trunk.device
        last = torch.tensor([len(row) - 1 for row in rows], device=device)
        length = int(last.max()) + 1
        pad = self.tokenizer.pad_id
        tokens = torch.tensor([[*row, *[pad] * (length - len(row))] for row in rows], device=device)
        hidden = self.trunk.hidden(tokens)  # [N, L, D]
        return hidden[torch.arange(len(rows), device=device), last]

    def read(self, states: Tensor) -> Tensor:
        """Reward of states. [N, D] -> [N]"""
        reward: Tensor = self.head(states).squeeze(-1)
        return self.gain * reward + self.bias

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Reward of rows of ids. [N]"""
        return self.read(self.states(rows))

    @torch.no_grad()
    def score(
        self, prompts: Sequence[str], completions: Sequence[str], *, batch_size: int = 128
    ) -> list[float]:
        """A Scorer: the reward of each completion, dropout off."""
        rewards: list[float] = self.read(
            self.all_states(self.encode(prompts, completions), batch_size=batch_size)
        ).tolist()
        return rewards

    @torch.no_grad()
    def all_states(self, rows: Sequence[Sequence[int]], *, batch_size: int) -> Tensor:
        """`states` of any number of rows, without gradient and dropout. [N, D]

        Rows of like length go together, so that little is spent on pads.
        """
        was_training = self.training
        self.eval()
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        states = torch.empty(len(rows), self.trunk.config.width, device=self.trunk.device)
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            states[batch] = self.states([rows[index] for index in batch])
        self.train(was_training)
        return states

    def normalise(self, rewards: Tensor) -> None:
        """Set gain and bias so that texts with these rewards come out with mean 0 and deviation 1.

        Then a KL coefficient means the same from one reward model to the next (Ziegler et al. 2019). A
        constant reward keeps its gain.
        """
        mean, deviation = rewards.mean(), rewards.std(correction=0)
        scale = torch.where(deviation > 1e-6, 1 / deviation.clamp_min(1e-6), torch.ones_like(deviation))
        self.gain.mul_(scale)
        self.bias.sub_(mean).mul_(scale)

    def save(self, folder: Path, extra: dict[str, object] | None = None) -> None:
        """The trunk as any checkpoint, and the head with its normalisation in a file beside it."""
        save_checkpoint(folder, self.trunk, self.tokenizer, extra={"kind": "reward", **(extra or {})})
        head = {"weight": self.head.weight, "bias": self.head.bias, "gain": self.gain, "offset": self.bias}
        partial = folder / (HEAD_FILE + ".partial")
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in head.items()}, partial)
        partial.replace(folder / HEAD_FILE)

    @classmethod
    def from_policy(cls, policy: GPT, tokenizer: Tokenizer, *, seed: int) -> Self:
        """A new reward model on a copy of a policy's trunk."""
        generator = torch.Generator().manual_seed(seed)
        return cls(copy.deepcopy(policy), tokenizer, generator=generator)


def load_reward_model(folder: Path, *, device: torch.device | str = "cpu") -> RewardModel:
    """Read what `RewardModel.save` wrote, ready to score; raise InputError naming a bad file."""
    trunk, tokenizer = load_checkpoint(folder, device=device)
    path = folder / HEAD_FILE
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; this is a policy, not a reward model: train one from it first"
        )
    try:
        head = load_file(path)
        model = RewardModel(trunk, tokenizer)
        model.head.load_state_dict({"weight": head["weight"], "bias": head["bias"]})
        model.gain.copy_(head["gain"])
        model.bias.copy_(head["offset"])
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(f"{path}: does not fit its model ({error}); copy the reward model again") from error
    return model.eval()
