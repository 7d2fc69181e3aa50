"""Learning a corpus: next-token prediction, from random weights or from those of a model given."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from training.gpt.batch_sampler import Windows
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ModelConfig, PretrainConfig
from training.gpt.corpus.shards import Shards
from training.gpt.devices import (
    autocast,
    choose_compile,
    choose_device,
    choose_precision,
)
from training.gpt.distributed import Group, processes, spread, unsynchronised, whole, whole_model
from training.gpt.error_hints import advice_on_memory, check_numbers
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate
from training.gpt.lr_schedule import learning_rate
from training.gpt.model import GPT
from training.gpt.optimizers import build_optimizers
from training.gpt.samples import write_excerpts
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Ended, Hooks, Limits, Stage, Written, run_loop
from training.gpt.training_state import (
    StateFolder,
    fill_module,
    fill_optimizers,
    module_tensors,
    optimizer_tensors,
)

# What a training may go on with otherwise than it began.
_FREE = frozenset({"accumulate", "compile", "device", "parallel", "save_every"})
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
    hooks: Hooks = Hooks(),  # noqa: B008 - frozen
    model: GPT | None = None,
) -> PretrainResult:
    """Train a new model of ``config.preset``, or a copy of ``model``; or go on where one was left.

    ``folder/model`` is the best model by validation loss, ``folder/last`` the state to go on from; it is
    written every ``config.save_every`` minutes, at the end, and when told to stop. Killed at any moment and
    called again alike, a training gives on the CPU bit for bit the metrics of one that was never interrupted,
    if its budget is in steps or tokens; minutes already spent are counted, but no clock runs twice alike. Of
    a ``model``, the preset is its own, and a ``context`` may only be shorter.

    Under ``torchrun`` (or in a ``parallel.processes()`` of the caller's), the processes share each batch, and
    ``folder`` must be one that all can read. The first one alone writes and calls the ``hooks``; the others
    do as it does.

    ``on_step`` gets ``loss``, ``learning_rate``, ``gradient_norm`` and ``tokens_per_second`` at each step,
    and at each validation (one stands before the first step) ``validation_loss``, ``perplexity``,
    ``accuracy`` and ``bits_per_byte``. After a kill, the steps after the last state are told again.

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
        training = _Training(model.to(device), splits, tokenizer, config, folder=folder, group=group)
        ended = run_loop(
            training,
            limits=Limits(
                minutes=config.minutes,
                steps=config.steps,
                tokens=config.tokens,
                tokens_per_step=training.tokens_per_step,
            ),
            every=config.evaluate_every,
            save_every=config.save_every,
            state=StateFolder(
                folder / "last",
                config,
                {"corpus": splits.digest(), "model": json.dumps(model.config.to_dict(), sort_keys=True)},
                _FREE,
            ),
            group=group,
            hooks=hooks,
        )
        result = training.result(ended)
        del training  # The group ends after all that uses it.
        return result


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


class _Training(Stage):
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
    ) -> None:
        self.model, self.splits, self.tokenizer, self.config = model, splits, tokenizer, config
        self.folder, self.group = folder, group
        self.context = context = config.context or model.config.context
        self.share = _share_of_batch(config, group)
        self.tokens_per_step = config.batch_size * context
        _check_length(splits, context=context)
        self.windows = Windows(splits.train, context=context, eos_id=tokenizer.eos_id, seed=config.seed)
        self.loss = spread(_Loss(model), model, config.parallel, group)
        self.forward = torch.compile(self.loss) if choose_compile(config.compile, model.device) else self.loss
        self.precision = choose_precision(config.precision, model.device)
        self.optimizers = build_optimizers(model, config, precision=self.precision)
        self.best = {"validation_loss": math.inf, "perplexity": math.inf}
        self.best_step = 0
        self.fruitless = 0  # validations since the best
        self.over: str | None = None

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Update the weights once."""
        config, model, device = self.config, self.model, self.model.device
        begun, rate = time.monotonic(), learning_rate(progress, config)
        loss = torch.zeros((), device=device)
        model.train()
        for index, first in enumerate(range(self.share.start, self.share.stop, self.share.step)):
            place = number * config.batch_size + first
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
        check_numbers(config, number + 1, loss=figures[0], gradient_norm=figures[1])
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

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Measure the validation split and keep the best model; None if told to stop before the end."""
        model = whole_model(self.model)
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
        check_numbers(self.config, number, validation_loss=metrics["validation_loss"])
        if metrics["validation_loss"] < self.best["validation_loss"]:
            self.best, self.best_step, self.fruitless = metrics, number, 0
            if self.group.is_first:
                save_checkpoint(self.folder / "model", model, self.tokenizer, {"step": number, **metrics})
        else:
            self.fruitless += 1
            if self.config.patience and self.fruitless >= self.config.patience:
                self.over = "patience"
        return metrics

    def excerpts(self, number: int) -> list[Written]:  # noqa: ARG002
        """What the model writes now to nothing, and to beginnings of validation documents."""
        model = whole_model(self.model)
        if not self.group.is_first:
            return []
        return write_excerpts(
            model, self.tokenizer, self.splits.validation, context=self.context, precision=self.precision
        )

    def values(self) -> dict[str, Any]:
        """The best so far, and how long ago it was."""
        return {"best": self.best, "best_step": self.best_step, "fruitless": self.fruitless}

    def tensors(self) -> dict[str, Tensor]:
        """The last weights, and what the optimisers remember."""
        return {
            **module_tensors("model", self.model),
            **optimizer_tensors("optimizer", self.model, *self.optimizers),
        }

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self.best, self.best_step, self.fruitless = values["best"], values["best_step"], values["fruitless"]
        fill_module("model", self.model, tensors)
        fill_optimizers("optimizer", self.model, tensors, *self.optimizers)

    def result(self, ended: Ended) -> PretrainResult:
        """What the training came to."""
        return PretrainResult(
            best_validation_loss=self.best["validation_loss"],
            perplexity=self.best["perplexity"],
            steps=ended.steps,
            stopped=ended.stopped,
            metrics={
                **self.best,
                "best_step": self.best_step,
                "tokens": ended.steps * self.tokens_per_step,
                "seconds": ended.seconds,
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
