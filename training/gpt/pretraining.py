"""Learning a corpus from scratch: next-token prediction."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from training.gpt.batches import batches
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ModelConfig, PretrainConfig
from training.gpt.corpus import Shards
from training.gpt.devices import autocast, choose_device, choose_precision, keep_heap
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate
from training.gpt.generate import never
from training.gpt.model import GPT
from training.gpt.schedule import Budget, learning_rate
from training.gpt.tokenizer import Tokenizer

OnStep = Callable[[int, float, dict[str, float]], None]
"""Called after each step with (steps done, progress in 0..1, metrics)."""


@dataclass(frozen=True)
class PretrainResult:
    """What a training came to. The model itself is in the folder given: the best one by validation loss."""

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
) -> PretrainResult:
    """Train a new model of ``config.preset``; keep in ``folder`` the best by validation loss.

    ``on_step`` gets ``loss``, ``learning_rate``, ``gradient_norm`` and ``tokens_per_second`` at each step,
    and at each validation (one stands before the first step) ``validation_loss``, ``perplexity``,
    ``accuracy`` and ``bits_per_byte``. On one machine's CPU, equal seeds and a budget in steps give equal
    weights. Raises ``InputError`` for a corpus shorter than one context, and when the loss is no number.
    """
    keep_heap()
    device = choose_device(config.device)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        model = build_model(config, vocab_size=tokenizer.vocab_size).to(device)
        _check_length(splits, context=model.config.context)
        return _Training(model, splits, tokenizer, config, folder).run(on_step, should_stop)


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


@dataclass
class _Training:
    """The state of one training, from its first step to its last."""

    model: GPT
    splits: Shards
    tokenizer: Tokenizer
    config: PretrainConfig
    folder: Path
    best: dict[str, float] = field(default_factory=lambda: {"validation_loss": math.inf})
    best_step: int = 0
    fruitless: int = 0  # validations since the best

    def __post_init__(self) -> None:
        self.precision = choose_precision(self.config.precision, self.model.device)
        self.optimizer = build_optimizer(
            self.model, learning_rate=self.config.learning_rate, weight_decay=self.config.weight_decay
        )

    def run(self, on_step: OnStep, should_stop: Callable[[], bool]) -> PretrainResult:
        config = self.config
        order = batches(
            self.splits.train,
            context=self.model.config.context,
            batch_size=config.batch_size,
            eos_id=self.tokenizer.eos_id,
            seed=config.seed,
        )
        budget = Budget(minutes=config.minutes, steps=config.steps)
        on_step(0, 0.0, self.validate(0))
        step, stopped = 0, None
        while stopped is None:
            if should_stop():
                stopped = "cancelled"
                break
            begun = budget.elapsed
            rate = learning_rate(budget.progress(step), config)
            inputs, targets = next(order)
            metrics = self.step(inputs, targets, rate, step + 1)
            step += 1
            metrics["tokens_per_second"] = inputs.numel() / max(budget.elapsed - begun, 1e-9)
            stopped = budget.exhausted(step)
            if stopped or step % config.evaluate_every == 0:
                metrics |= self.validate(step)
                if config.patience and self.fruitless >= config.patience:
                    stopped = stopped or "patience"
            on_step(step, 1.0 if stopped else budget.progress(step), metrics)
        return self.result(step, stopped, budget.elapsed)

    def step(self, inputs: Tensor, targets: Tensor, rate: float, step: int) -> dict[str, float]:
        """One update on a batch [B, T]."""
        model, device = self.model, self.model.device
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        model.train()
        with autocast(device, self.precision):
            logits = model(inputs.to(device))
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.to(device).flatten())
        if not math.isfinite(loss.item()):
            raise InputError(
                f"learning_rate: the loss became {loss.item()} at step {step}; lower it (now"
                f" {self.config.learning_rate:g}), or choose precision fp32"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), self.config.clip or math.inf)
        self.optimizer.step()
        return {"loss": loss.item(), "learning_rate": rate, "gradient_norm": float(norm)}

    def validate(self, step: int) -> dict[str, float]:
        """Measure the validation split; keep the model if it is the best so far."""
        found = evaluate(
            self.model,
            self.splits.validation,
            max_tokens=self.config.evaluation_tokens,
            precision=self.precision,
        )
        metrics = {name: found[name] for name in ("perplexity", "accuracy", "bits_per_byte")}
        metrics["validation_loss"] = found["loss"]
        if metrics["validation_loss"] < self.best["validation_loss"]:
            self.best, self.best_step, self.fruitless = metrics, step, 0
            save_checkpoint(self.folder, self.model, self.tokenizer, {"step": step, **metrics})
        else:
            self.fruitless += 1
        return metrics

    def result(self, steps: int, stopped: str, seconds: float) -> PretrainResult:
        tokens = steps * self.config.batch_size * self.model.config.context
        return PretrainResult(
            best_validation_loss=self.best["validation_loss"],
            perplexity=self.best["perplexity"],
            steps=steps,
            stopped=stopped,
            metrics={
                **self.best,
                "best_step": self.best_step,
                "tokens": tokens,
                "seconds": seconds,
                "parameters": self.model.config.parameters,
            },
        )


def _check_length(splits: Shards, *, context: int) -> None:
    count = len(splits.train.tokens)
    if count < context + 1:
        raise InputError(
            f"corpus: its {count} training tokens are fewer than one context of {context};"
            " give more text or a smaller context"
        )
