"""Learning a corpus from scratch: next-token prediction."""

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from training.gpt.batches import Windows
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ModelConfig, PretrainConfig
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate
from training.gpt.generate import never
from training.gpt.model import GPT
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


@dataclass(frozen=True)
class PretrainResult:
    """What a training came to. The model itself, the best by validation loss, is in ``folder/model``."""

    best_validation_loss: float
    perplexity: float
    steps: int
    stopped: str  # "steps", "minutes", "patience" or "cancelled"
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
) -> PretrainResult:
    """Train a new model of ``config.preset``, or go on where a training in ``folder`` was left.

    ``folder/model`` is the best model by validation loss, ``folder/last`` the state to go on from; it is
    written every ``config.save_every`` minutes, at the end, and when ``should_stop`` says so. Killed at any
    moment and called again alike, a training gives on the CPU bit for bit the metrics of one that was never
    interrupted, if its budget is in steps; minutes already spent are counted, but no clock runs twice alike.

    ``on_step`` gets ``loss``, ``learning_rate``, ``gradient_norm`` and ``tokens_per_second`` at each step,
    and at each validation (one stands before the first step) ``validation_loss``, ``perplexity``,
    ``accuracy`` and ``bits_per_byte``. After a kill, the steps after the last state are told again.
    Each state is written inside the context that ``saving`` gives.

    Raises ``InputError`` for a corpus shorter than one context, for a ``folder/last`` that is damaged or was
    made with other options, and when the loss is no number.
    """
    device = choose_device(config.device)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = build_model(config, vocab_size=tokenizer.vocab_size).to(device)
        _check_length(splits, context=model.config.context)
        return _Training(model, splits, tokenizer, config, folder=folder, saving=saving).run(
            on_step, should_stop, on_resume
        )


def build_model(config: PretrainConfig, *, vocab_size: int) -> GPT:
    """A model with random weights, of the preset and with the changes that ``config`` names."""
    changes: dict[str, Any] = {"dropout": config.dropout}
    if config.context:
        changes["context"] = config.context
    return GPT(ModelConfig.preset(config.preset, vocab_size=vocab_size, **changes))


def build_optimizer(model: GPT, *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW that decays matrices and leaves gains and biases alone."""
    matrices = [weight for weight in model.parameters() if weight.dim() >= 2]
    others = [weight for weight in model.parameters() if weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)


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
        saving: Saving,
    ) -> None:
        self.model, self.splits, self.tokenizer, self.config = model, splits, tokenizer, config
        self.folder, self.saving = folder, saving
        self.state = StateFolder(folder / "last", config, identity(splits))
        self.progress = Progress()
        self.precision = choose_precision(config.precision, model.device)
        self.optimizer = build_optimizer(
            model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
        )
        self.windows = Windows(
            splits.train, context=model.config.context, eos_id=tokenizer.eos_id, seed=config.seed
        )

    def run(self, on_step: OnStep, should_stop: Callable[[], bool], on_resume: OnResume) -> PretrainResult:
        config = self.config
        if self.state.exists:
            self.resume()
            on_resume(self.progress.step)
        progress = self.progress
        budget = Budget(minutes=config.minutes, steps=config.steps, spent=progress.seconds)
        saved = budget.elapsed
        while progress.stopped is None:
            if progress.pending is None:
                if should_stop():
                    break
                rate = learning_rate(budget.progress(progress.step), config)
                progress.pending = self.step(rate)
                progress.step += 1
            stopped = budget.exhausted(progress.step)
            if stopped or progress.step % config.evaluate_every == 0:
                found = self.validate(should_stop)
                if found is None:
                    break
                progress.pending |= found
                if config.patience and progress.fruitless >= config.patience:
                    stopped = stopped or "patience"
            on_step(progress.step, 1.0 if stopped else budget.progress(progress.step), progress.pending)
            progress.pending, progress.stopped = None, stopped
            if stopped or budget.elapsed - saved >= config.save_every * 60:
                saved = budget.elapsed
                self.save(budget)
        if progress.stopped is None:
            self.save(budget)
        return self.result()

    def step(self, rate: float) -> dict[str, float]:
        """Update the weights once."""
        config, model, number = self.config, self.model, self.progress.step
        begun = time.monotonic()
        first = number * config.batch_size
        inputs, targets = (part.to(model.device) for part in self.windows.read(first, config.batch_size))
        _seed_chance(config.seed, first)
        model.train()
        with autocast(model.device, self.precision):
            logits = model(inputs)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        if not math.isfinite(loss.item()):
            raise InputError(
                f"learning_rate: the loss became {loss.item()} at step {number + 1}; lower it (now"
                f" {config.learning_rate:g}), or choose precision fp32"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip or math.inf)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return {
            "loss": loss.item(),
            "learning_rate": rate,
            "gradient_norm": float(norm),
            "tokens_per_second": inputs.numel() / max(time.monotonic() - begun, 1e-9),
        }

    def validate(self, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Measure the validation split and keep the best model; None if told to stop before the end."""
        progress = self.progress
        found = evaluate(
            self.model,
            self.splits.validation,
            eos_id=self.tokenizer.eos_id,
            max_tokens=self.config.evaluation_tokens,
            precision=self.precision,
            should_stop=should_stop,
        )
        if should_stop():
            return None
        metrics = {name: found[name] for name in ("perplexity", "accuracy", "bits_per_byte")}
        metrics["validation_loss"] = found["loss"]
        if metrics["validation_loss"] < progress.best["validation_loss"]:
            progress.best, progress.best_step, progress.fruitless = metrics, progress.step, 0
            extra = {"step": progress.step, **metrics}
            save_checkpoint(self.folder / "model", self.model, self.tokenizer, extra)
        else:
            progress.fruitless += 1
        return metrics

    def save(self, budget: Budget) -> None:
        """Write the state to go on from."""
        self.progress.seconds = budget.elapsed
        tensors = optimizer_tensors(self.model, self.optimizer)
        with self.saving(self.progress.step):
            self.state.save(self.progress, model=self.model, tokenizer=self.tokenizer, optimizer=tensors)

    def resume(self) -> None:
        """Take up the state that was left."""
        self.progress, tensors = self.state.load(self.model)
        fill_optimizers(tensors, self.state.folder, self.model, self.optimizer)

    def result(self) -> PretrainResult:
        progress, config = self.progress, self.model.config
        return PretrainResult(
            best_validation_loss=progress.best["validation_loss"],
            perplexity=progress.best["perplexity"],
            steps=progress.step,
            stopped=progress.stopped or "cancelled",
            metrics={
                **progress.best,
                "best_step": progress.best_step,
                "tokens": progress.step * self.config.batch_size * config.context,
                "seconds": progress.seconds,
                "parameters": config.parameters,
            },
        )


def _seed_chance(seed: int, first: int) -> None:
    """Let dropout depend on the seed and the windows read, and on nothing that happened before."""
    mixed = np.random.SeedSequence((seed, first)).generate_state(1, np.uint64)
    torch.manual_seed(int(mixed[0]))


def _check_length(splits: Shards, *, context: int) -> None:
    count = len(splits.train.tokens)
    if count < context + 1:
        raise InputError(
            f"corpus: its {count} training tokens are fewer than one context of {context};"
            " give more text or a smaller context"
        )
