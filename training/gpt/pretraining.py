"""Learning a corpus: next-token prediction, from random weights or from those of a model given."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from training.gpt.advice import advice_on_memory, check_numbers
from training.gpt.batches import Windows
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ModelConfig, PretrainConfig
from training.gpt.devices import (
    autocast,
    choose_compile,
    choose_device,
    choose_precision,
)
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate
from training.gpt.generate import never
from training.gpt.model import GPT
from training.gpt.optimizers import build_optimizers
from training.gpt.parallel import Group, processes, spread, unsynchronised, whole, whole_model
from training.gpt.schedule import Budget, learning_rate
from training.gpt.shards import Shards
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_state import (
    Progress,
    StateFolder,
    fill_optimizers,
    identity,
    optimizer_tensors,
)

OnStep = Callable[[int, float, dict[str, float]], None]
"""Called after each step with (steps done, progress in 0..1, metrics)."""

OnResume = Callable[[int], None]
"""Called before the first step with the number of steps already done, where a training goes on."""

Saving = Callable[[int], AbstractContextManager[object]]
"""Called with the number of steps done for a context to write the state in."""

_VALIDATED = ("validation_loss", "perplexity", "accuracy", "bits_per_byte")


@dataclass(frozen=True)
class PretrainResult:
    """What a training came to. The model itself, the best by validation loss, is in ``folder/model``."""

    best_validation_loss: float
    perplexity: float
    steps: int
    stopped: str  # "steps", "tokens", "minutes", "patience" or "cancelled"
    metrics: dict[str, float] = field(default_factory=dict)


def pretrain(
    *,
    splits: Shards,
    tokenizer: Tokenizer,
    config: PretrainConfig,
    folder: Path,
    on_step: OnStep,
    should_stop: Callable[[], bool] = never,
    on_resume: OnResume = lambda _: None,
    saving: Saving = nullcontext,
    model: GPT | None = None,
) -> PretrainResult:
    """Train a new model of ``config.preset``, or a copy of ``model``; or go on where one was left.

    ``folder/model`` is the best model by validation loss, ``folder/last`` the state to go on from; it is
    written every ``config.save_every`` minutes, at the end, and when ``should_stop`` says so. Killed at any
    moment and called again alike, a training gives on the CPU bit for bit the metrics of one that was never
    interrupted, if its budget is in steps or tokens; minutes already spent are counted, but no clock runs
    twice alike. Of a ``model``, the preset is its own, and a ``context`` may only be shorter.

    Under ``torchrun`` (or in a ``parallel.processes()`` of the caller's), the processes share each batch, and
    ``folder`` must be one that all can read. The first one alone writes, calls ``on_step``, ``on_resume`` and
    ``saving``, and asks ``should_stop``; the others do as it does.

    ``on_step`` gets ``loss``, ``learning_rate``, ``gradient_norm`` and ``tokens_per_second`` at each step,
    and at each validation (one stands before the first step) ``validation_loss``, ``perplexity``,
    ``accuracy`` and ``bits_per_byte``. After a kill, the steps after the last state are told again.
    Each state is written inside the context that ``saving`` gives.

    Raises ``InputError`` for a corpus shorter than one context, for a ``folder/last`` that is damaged or was
    made with other options, when memory runs out, and when the loss or its gradients are no numbers.
    """
    device = choose_device(config.device)
    with (
        processes() as group,
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        advice_on_memory(config, model.config if model else None),
    ):
        torch.manual_seed(config.seed)
        if model is None:
            model = build_model(config, vocab_size=tokenizer.vocab_size)
        else:
            model = _copy(model, config)
        training = _Training(
            model.to(device), splits, tokenizer, config, folder=folder, group=group, saving=saving
        )
        if group.is_first and training.state.exists:
            on_resume(training.progress.step)
        result = training.run(on_step if group.is_first else _silence, should_stop)
        del training  # The group ends after all that uses it.
        return result


def _silence(step: int, progress: float, metrics: dict[str, float]) -> None:
    """The ``on_step`` of all processes but the first."""


def build_model(config: PretrainConfig, *, vocab_size: int) -> GPT:
    """A model with random weights, of the preset and with the changes that ``config`` names."""
    changes: dict[str, Any] = {"dropout": config.dropout}
    if config.context:
        changes["context"] = config.context
    return GPT(ModelConfig.preset(config.preset, vocab_size=vocab_size, **changes))


def _copy(model: GPT, config: PretrainConfig) -> GPT:
    if config.context > model.config.context:
        raise InputError(
            f"context: {config.context} is more than the {model.config.context} of the model; give less"
        )
    copy = GPT(replace(model.config, dropout=config.dropout))
    copy.load_state_dict(model.state_dict())
    return copy


class _Loss(nn.Module):
    """The mean loss of a model in nats per token: one module to compile, and to spread over processes."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.model(inputs).float().flatten(0, 1), targets.flatten())


class _Training:
    """One training, from its first step to its last."""

    def __init__(
        self,
        model: GPT,
        splits: Shards,
        tokenizer: Tokenizer,
        config: PretrainConfig,
        *,
        folder: Path,
        group: Group,
        saving: Saving,
    ) -> None:
        self.model, self.splits, self.tokenizer, self.config = model, splits, tokenizer, config
        self.folder, self.group, self.saving = folder, group, saving
        context = config.context or model.config.context
        self.share = _share_of_batch(config, group)
        self.tokens_per_step = config.batch_size * context
        _check_length(splits, context=context)
        self.windows = Windows(splits.train, context=context, eos_id=tokenizer.eos_id, seed=config.seed)
        self.state = StateFolder(folder / "last", config, identity(splits))
        self.progress, kept = self.state.load(model) if self.state.exists else (Progress(), {})
        self.loss = spread(_Loss(model), model, config.parallel, group)
        self.forward = torch.compile(self.loss) if choose_compile(config.compile, model.device) else self.loss
        self.precision = choose_precision(config.precision, model.device)
        self.optimizers = build_optimizers(model, config, precision=self.precision)
        fill_optimizers(kept, self.state.folder, model, *self.optimizers)
        self.budget = Budget(
            minutes=config.minutes,
            steps=config.steps,
            tokens=config.tokens,
            tokens_per_step=self.tokens_per_step,
            spent=self.progress.seconds,
            clock=group.clock,
        )

    def run(self, on_step: OnStep, should_stop: Callable[[], bool]) -> PretrainResult:
        """Step after step, until the budget is spent, nothing gets better, or somebody says stop."""
        config, progress, budget = self.config, self.progress, self.budget
        saved = budget.elapsed
        while progress.stopped is None:
            if progress.pending is None:
                if self.group.told(should_stop):
                    break
                progress.pending = self.step(learning_rate(budget.progress(progress.step), config))
                progress.step += 1
            stopped = budget.exhausted(progress.step)
            if stopped or progress.step % config.evaluate_every == 0:
                found = self.validate(should_stop)
                if found is None:
                    break
                progress.pending |= found
                if config.patience and progress.fruitless >= config.patience:
                    stopped = stopped or "patience"
            share = 1.0 if stopped else budget.progress(progress.step)
            on_step(progress.step, share, progress.pending)
            progress.pending, progress.stopped = None, stopped
            if stopped or budget.elapsed - saved >= config.save_every * 60:
                saved = budget.elapsed
                self.save()
        if progress.stopped is None:
            self.save()
        return self.result()

    def step(self, rate: float) -> dict[str, float]:
        """Update the weights once, at a share of the peak learning rates."""
        config, model, device = self.config, self.model, self.model.device
        begun, number = time.monotonic(), self.progress.step + 1
        loss = torch.zeros((), device=device)
        model.train()
        for index, first in enumerate(range(self.share.start, self.share.stop, self.share.step)):
            place = self.progress.step * config.batch_size + first
            inputs, targets = (part.to(device) for part in self.windows.read(place, self.share.step))
            _seed_chance(config.seed, place)
            with (
                unsynchronised(self.loss, model, last=index == config.accumulate - 1),
                autocast(device, self.precision),
            ):
                piece = self.forward(inputs, targets) / config.accumulate
            piece.backward()
            loss += piece.detach()
        norm = whole(nn.utils.clip_grad_norm_(model.parameters(), config.clip or math.inf))
        figures = torch.stack([self.group.mean(loss), norm]).tolist()
        check_numbers(config, number, loss=figures[0], gradient_norm=figures[1])
        for optimizer in self.optimizers:
            for weights in optimizer.param_groups:
                weights["lr"] = weights["peak"] * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return {
            "loss": figures[0],
            "learning_rate": config.learning_rate * rate,
            "gradient_norm": figures[1],
            "tokens_per_second": self.tokens_per_step / max(time.monotonic() - begun, 1e-9),
        }

    def validate(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Measure the validation split and keep the best model; None if told to stop before the end."""
        progress, model = self.progress, whole_model(self.model)
        figures = torch.zeros(len(_VALIDATED), dtype=torch.float64)
        if self.group.is_first:
            found = evaluate(
                model,
                self.splits.validation,
                eos_id=self.tokenizer.eos_id,
                max_tokens=self.config.evaluation_tokens,
                precision=self.precision,
                should_stop=should_stop,
            )
            found["validation_loss"] = found["loss"]
            figures = torch.tensor([found[name] for name in _VALIDATED], dtype=torch.float64)
        if self.group.told(should_stop):
            return None
        metrics = dict(zip(_VALIDATED, self.group.agreed(figures).tolist(), strict=True))
        check_numbers(self.config, progress.step, validation_loss=metrics["validation_loss"])
        if metrics["validation_loss"] < progress.best["validation_loss"]:
            progress.best, progress.best_step, progress.fruitless = metrics, progress.step, 0
            if self.group.is_first:
                extra = {"step": progress.step, **metrics}
                save_checkpoint(self.folder / "model", model, self.tokenizer, extra)
        else:
            progress.fruitless += 1
        return metrics

    def save(self) -> None:
        """Write the state to go on from."""
        self.progress.seconds = self.budget.elapsed
        model, tensors = whole_model(self.model), optimizer_tensors(self.model, *self.optimizers)
        if self.group.is_first:
            with self.saving(self.progress.step):
                self.state.save(self.progress, model=model, tokenizer=self.tokenizer, optimizer=tensors)

    def result(self) -> PretrainResult:
        progress = self.progress
        return PretrainResult(
            best_validation_loss=progress.best["validation_loss"],
            perplexity=progress.best["perplexity"],
            steps=progress.step,
            stopped=progress.stopped or "cancelled",
            metrics={
                **progress.best,
                "best_step": progress.best_step,
                "tokens": progress.step * self.tokens_per_step,
                "seconds": progress.seconds,
                "parameters": self.model.config.parameters,
            },
        )


def _share_of_batch(config: PretrainConfig, group: Group) -> range:
    """Where in each batch the pieces of this process start; the step of the range is their size."""
    pieces = group.size * config.accumulate
    if config.batch_size % pieces:
        raise InputError(
            f"batch_size: {config.batch_size} sequences cannot be shared out evenly among {group.size}"
            f" processes that accumulate {config.accumulate}; give a multiple of {pieces}"
        )
    size = config.batch_size // pieces
    begin = group.rank * config.accumulate * size
    return range(begin, begin + config.accumulate * size, size)


def _seed_chance(seed: int, first: int) -> None:
    """Let dropout depend on the seed and the first window read, and on nothing that happened before."""
    mixed = np.random.SeedSequence((seed, first)).generate_state(1, np.uint64)
    torch.manual_seed(int(mixed[0]))


def _check_length(splits: Shards, *, context: int) -> None:
    count = len(splits.train.tokens)
    if count < context + 1:
        raise InputError(
            f"corpus: its {count} training tokens are fewer than one context of {context};"
            " give more text or a smaller context"
        )
