"""A network that learns from rollouts: the policy, or the value network of PPO.

N sequences of at most L tokens are this process's share of a batch; they are read in pieces of n.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from training.gpt.devices import autocast
from training.gpt.distributed import ProcessGroup, full_tensor, no_sync, wrap_parallel
from training.gpt.error_hints import is_out_of_memory
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.training_state import fill_module, fill_optimizers, module_tensors, optimizer_tensors
from training.rlhf.config import FinetuneConfig
from training.rlhf.tuning.rollouts import Rollouts, sequence_logprobs

LossOf = Callable[[slice, Tensor], Tensor]
"""The loss of some rows of the batch, from what the network says of them [n, L]."""


class LogprobModel(nn.Module):
    """A language model as a function of prompts and completions: the log-probability of each token. [N, L]"""

    def __init__(self, model: GPT, *, temperature: float) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Tensor:
        return sequence_logprobs(self.model, prompts, completions, temperature=self.temperature)


class Learner:
    """A module around one GPT, spread over the processes, with its optimiser.

    Dropout stays off throughout: what is learned from must be what is read.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        model: GPT,
        *,
        rate: float,
        clip: float,
        pieces: int,
        precision: torch.dtype,
        parallel: str,
        group: ProcessGroup,
    ) -> None:
        self.name, self.module, self.model = name, module.eval(), model
        self.rate, self.clip, self.pieces, self.precision = rate, clip, pieces, precision
        self.wrapped = wrap_parallel(module, model, parallel, group)
        weights = [weight for weight in module.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.Adam(weights, lr=rate, eps=1e-5, fused=True)

    def read(self, rollouts: Rollouts) -> Tensor:
        """What the network says of each token, without gradient. [N, L]"""
        return read(self.wrapped, rollouts, pieces=self.pieces, precision=self.precision)

    def learn(self, rollouts: Rollouts, loss_of: LossOf, *, share: float) -> tuple[Tensor, Tensor]:
        """One update from the whole batch, at a share of the learning rate.

        Gives what the network said before it [N, L], and the norm of the gradient over all processes; where
        that is no number, nothing was updated.
        """
        said = []
        for rows in _pieces(rollouts, self.pieces):
            last = rows.stop == len(rollouts.prompts)
            with no_sync(self.wrapped, self.model, enabled=not last):
                found = _said(self.wrapped, rollouts, rows, self.precision)
            loss = loss_of(rows, found) / self.pieces
            loss.backward()  # type: ignore[no-untyped-call]
            said.append(found.detach())
        norm = full_tensor(nn.utils.clip_grad_norm_(self.module.parameters(), self.clip or math.inf))
        for weights in self.optimizer.param_groups:
            weights["lr"] = self.rate * share
        if norm.isfinite():
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.cat(said), norm

    def tensors(self) -> dict[str, Tensor]:
        """Weights and what the optimiser remembers; every process must ask."""
        return {
            **module_tensors(self.name, self.module),
            **optimizer_tensors(f"{self.name}-optimizer", self.module, self.optimizer),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave."""
        fill_module(self.name, self.module, tensors)
        fill_optimizers(f"{self.name}-optimizer", self.module, tensors, self.optimizer)


@torch.no_grad()
def read(module: nn.Module, rollouts: Rollouts, *, pieces: int, precision: torch.dtype) -> Tensor:
    """What a module says of each token of each completion, 0 after its end. [N, L]"""
    return torch.cat([_said(module, rollouts, rows, precision) for rows in _pieces(rollouts, pieces)])


def _pieces(rollouts: Rollouts, count: int) -> list[slice]:
    size = len(rollouts.prompts) // count
    return [slice(first, first + size) for first in range(0, count * size, size)]


def _said(module: nn.Module, rollouts: Rollouts, rows: slice, precision: torch.dtype) -> Tensor:
    """[n, L], however short the texts of these rows are."""
    mask = rollouts.generation.mask[rows]
    with autocast(mask.device, precision):
        found: Tensor = module(rollouts.prompts[rows], rollouts.completions[rows])
    missing = mask.shape[1] - found.shape[1]
    return nn.functional.pad(found, (0, missing)).masked_fill(~mask, 0.0)


def default_learning_rate(model: GPT, *, updates: int) -> float:
    """1e-3 for a width of 128, and falling with its square: 3e-5 for the 768 of a GPT-2 of 124M.

    Shared out among the `updates` from each batch, which go much the same way.
    """
    return 1e-3 * (128 / model.config.width) ** 2 / updates


@contextmanager
def out_of_memory_hint(config: FinetuneConfig) -> Iterator[None]:
    """A block in which running out of memory raises InputError with what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        sequences = config.prompts_per_step * config.samples_per_prompt // config.accumulate
        raise InputError(
            f"accumulate: {sequences} completions of {config.max_new_tokens} tokens at once need more memory"
            f" than there is; raise accumulate (now {config.accumulate}, most {config.prompts_per_step}) or"
            " take fewer samples_per_prompt or a smaller max_new_tokens"
        ) from error
