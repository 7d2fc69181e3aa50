"""A network in training on rollouts: the policy, or the value network of PPO.

N sequences of at most L tokens are this process's part of a batch, in micro-batches of n.
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
from training.gpt.optimizers import build_adamw, scale_learning_rates
from training.gpt.training_state import (
    load_module_tensors,
    load_optimizer_tensors,
    module_tensors,
    optimizer_tensors,
)
from training.rlhf.config import FinetuneConfig
from training.rlhf.tuning.rollouts import Rollouts, sequence_logprobs

LossFunction = Callable[[slice, Tensor], Tensor]
"""The loss of some rows of the batch, from the network's outputs for them [n, L]."""


class LogprobModel(nn.Module):
    """A language model as a function of prompts and completions: the log-probability of each token. [N, L]"""

    def __init__(self, model: GPT, *, temperature: float) -> None:
        super().__init__()
        self.model, self.temperature = model, temperature

    def forward(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Tensor:
        return sequence_logprobs(self.model, prompts, completions, temperature=self.temperature)


class Learner:
    """A module around one GPT, distributed over the processes, with its optimizer.

    Dropout is always off: log-probabilities in training must be those of sampling.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        model: GPT,
        *,
        learning_rate: float,
        clip: float,
        accumulate: int,
        precision: torch.dtype,
        parallel: str,
        group: ProcessGroup,
    ) -> None:
        self.name, self.module, self.model = name, module.eval(), model
        self.learning_rate, self.clip = learning_rate, clip
        self.accumulate, self.precision = accumulate, precision
        self.wrapped = wrap_parallel(module, model, parallel, group)
        self.optimizer = build_adamw(
            module.parameters(), learning_rate=learning_rate, betas=(0.9, 0.999), eps=1e-5
        )

    def predict(self, rollouts: Rollouts) -> Tensor:
        """The network's output for each token, without gradient. [N, L]"""
        return predict(self.wrapped, rollouts, accumulate=self.accumulate, precision=self.precision)

    def update(
        self, rollouts: Rollouts, loss_function: LossFunction, *, lr_factor: float
    ) -> tuple[Tensor, Tensor]:
        """One update from the whole batch, at a fraction of the learning rate.

        Returns the network's outputs before it [N, L], and the gradient norm over all processes; if that is
        not finite, nothing was updated.
        """
        outputs = []
        for rows in _micro_batches(rollouts, self.accumulate):
            is_last = rows.stop == len(rollouts.prompts)
            with no_sync(self.wrapped, self.model, enabled=not is_last):
                output = _forward(self.wrapped, rollouts, rows, self.precision)
            loss = loss_function(rows, output) / self.accumulate
            loss.backward()  # type: ignore[no-untyped-call]
            outputs.append(output.detach())
        norm = full_tensor(nn.utils.clip_grad_norm_(self.module.parameters(), self.clip or math.inf))
        scale_learning_rates(self.optimizer, lr_factor)
        if norm.isfinite():
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return torch.cat(outputs), norm

    def tensors(self) -> dict[str, Tensor]:
        """The weights and the optimizer's state; every process must call it."""
        return {
            **module_tensors(self.name, self.module),
            **optimizer_tensors(f"{self.name}-optimizer", self.module, self.optimizer),
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        load_module_tensors(self.name, self.module, tensors)
        load_optimizer_tensors(f"{self.name}-optimizer", self.module, tensors, self.optimizer)


@torch.no_grad()
def predict(module: nn.Module, rollouts: Rollouts, *, accumulate: int, precision: torch.dtype) -> Tensor:
    """A module's output for each token of each completion, 0 after its end. [N, L]"""
    return torch.cat(
        [_forward(module, rollouts, rows, precision) for rows in _micro_batches(rollouts, accumulate)]
    )


def _micro_batches(rollouts: Rollouts, count: int) -> list[slice]:
    size = len(rollouts.prompts) // count
    return [slice(first, first + size) for first in range(0, count * size, size)]


def _forward(module: nn.Module, rollouts: Rollouts, rows: slice, precision: torch.dtype) -> Tensor:
    """The output for some rows, padded to the length of the batch. [n, L]"""
    mask = rollouts.generation.mask[rows]
    with autocast(mask.device, precision):
        output: Tensor = module(rollouts.prompts[rows], rollouts.completions[rows])
    missing = mask.shape[1] - output.shape[1]
    return nn.functional.pad(output, (0, missing)).masked_fill(~mask, 0.0)


def default_learning_rate(model: GPT, *, updates: int) -> float:
    """1e-3 for a width of 128, falling with the square of the width: 3e-5 for the 768 of GPT-2 (124M).

    Divided by the number of `updates` from each batch, whose gradients are similar.
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
            f" than there is; raise accumulate (now {config.accumulate}, at most {config.prompts_per_step})"
            " or take fewer samples_per_prompt or a smaller max_new_tokens"
        ) from error
