"""Pretraining: next-token prediction on a corpus, from random weights or from those of a given model."""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from training.gpt.batch_sampler import BatchSampler
from training.gpt.budget import TrainingBudget
from training.gpt.checkpoint import save_checkpoint
from training.gpt.config import ModelConfig, PretrainConfig
from training.gpt.corpus.shards import Shards
from training.gpt.devices import autocast, choose_compile, choose_device, choose_precision
from training.gpt.distributed import (
    ProcessGroup,
    full_model,
    full_tensor,
    no_sync,
    process_group,
    shard_batch,
    wrap_parallel,
)
from training.gpt.error_hints import check_finite, hint_on_out_of_memory
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate
from training.gpt.lr_schedule import learning_rate
from training.gpt.model import GPT
from training.gpt.optimizers import build_optimizers, scale_learning_rates
from training.gpt.random_seeds import seed_torch
from training.gpt.samples import generate_samples
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks, LoopResult, Sample, Trainer, run_training_loop
from training.gpt.training_state import (
    StateFolder,
    load_module_tensors,
    load_optimizer_tensors,
    module_tensors,
    optimizer_tensors,
)

# Options that may change when a training is resumed.
_CHANGEABLE = frozenset({"accumulate", "compile", "device", "parallel", "save_every"})
_VALIDATION_METRICS = ("validation_loss", "perplexity", "accuracy", "bits_per_byte")


@dataclass(frozen=True)
class PretrainResult:
    """The result of a training. The model itself, the best by validation loss, is in ``folder/model``."""

    best_validation_loss: float
    perplexity: float
    steps: int
    stop_reason: str  # "steps", "tokens", "minutes", "patience" or "cancelled"
    metrics: dict[str, float] = field(default_factory=dict)


def pretrain(
    *,
    splits: Shards,
    tokenizer: Tokenizer,
    config: PretrainConfig,
    folder: Path,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 - frozen
    model: GPT | None = None,
) -> PretrainResult:
    """Train a new model of ``config.preset``, or a copy of ``model``; resume if ``folder`` holds a state.

    ``folder/model`` is the best model by validation loss, ``folder/last`` the state to resume from; it is
    saved every ``config.save_every`` minutes, at the end, and when stopped. A training that was killed at any
    moment and is called again with the same arguments gives, on the CPU, bit for bit the metrics of one that
    was never interrupted, if its budget is in steps or tokens. Minutes spent before count too, but time is
    never exactly reproducible. A given ``model`` keeps its own preset, and a ``context`` may only be shorter
    than its own.

    Under ``torchrun`` (or in the caller's ``distributed.process_group()``), the processes share each batch,
    and all must be able to read ``folder``. Only the main process writes and calls the ``callbacks``.

    ``on_step`` gets ``loss``, ``learning_rate``, ``gradient_norm`` and ``tokens_per_second`` at each step,
    and at each validation (the first is before the first step) ``validation_loss``, ``perplexity``,
    ``accuracy`` and ``bits_per_byte``. After a kill, the steps since the last saved state are reported again.

    Raises ``InputError`` for a corpus shorter than one context, for a ``folder/last`` that is damaged or was
    made with other options, when memory runs out, and when the loss or its gradients are not finite.
    """
    device = choose_device(config.device)
    with (
        process_group() as group,
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
        hint_on_out_of_memory(config, model.config if model else None),
    ):
        torch.manual_seed(config.seed)
        if model is None:
            model = build_model(config, vocab_size=tokenizer.vocab_size)
        else:
            model = _copy(model, config)
        trainer = _PretrainTrainer(model.to(device), splits, tokenizer, config, folder=folder, group=group)
        loop_result = run_training_loop(
            trainer,
            budget=TrainingBudget(
                minutes=config.minutes,
                steps=config.steps,
                tokens=config.tokens,
                tokens_per_step=trainer.tokens_per_step,
            ),
            evaluate_every=config.evaluate_every,
            save_every=config.save_every,
            state=StateFolder(
                folder / "last",
                config,
                {"corpus": splits.digest(), "model": json.dumps(model.config.to_dict(), sort_keys=True)},
                _CHANGEABLE,
            ),
            group=group,
            callbacks=callbacks,
        )
        result = trainer.result(loop_result)
        del trainer  # The process group must outlive everything that uses it.
        return result


def build_model(config: PretrainConfig, *, vocab_size: int) -> GPT:
    """A model with random weights: the preset of ``config``, with its changes to context and dropout."""
    changes: dict[str, Any] = {"dropout": config.dropout}
    if config.context:
        changes["context"] = config.context
    return GPT(ModelConfig.preset(config.preset, vocab_size=vocab_size, **changes))


def _copy(model: GPT, config: PretrainConfig) -> GPT:
    if config.context > model.config.context:
        raise InputError(
            f"context: {config.context} is more than the model's {model.config.context}; use at most that"
        )
    copy = GPT(replace(model.config, dropout=config.dropout))
    copy.load_state_dict(model.state_dict())
    return copy


class _Loss(nn.Module):
    """The mean loss of a model in nats per token, as one module to compile and to wrap for several
    processes."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.model(inputs).float().flatten(0, 1), targets.flatten())


class _PretrainTrainer(Trainer):
    """One pretraining, as the training loop drives it."""

    def __init__(
        self,
        model: GPT,
        splits: Shards,
        tokenizer: Tokenizer,
        config: PretrainConfig,
        *,
        folder: Path,
        group: ProcessGroup,
    ) -> None:
        self.model, self.splits, self.tokenizer, self.config = model, splits, tokenizer, config
        self.folder, self.group = folder, group
        self.context = context = config.context or model.config.context
        self.micro_batches = shard_batch(config.batch_size, accumulate=config.accumulate, group=group)
        self.tokens_per_step = config.batch_size * context
        _check_length(splits, context=context)
        self.sampler = BatchSampler(splits.train, context=context, eos_id=tokenizer.eos_id, seed=config.seed)
        self.loss = wrap_parallel(_Loss(model), model, config.parallel, group)
        self.forward = torch.compile(self.loss) if choose_compile(config.compile, model.device) else self.loss
        self.precision = choose_precision(config.precision, model.device)
        self.optimizers = build_optimizers(model, config, precision=self.precision)
        self.best = {"validation_loss": math.inf, "perplexity": math.inf}
        self.best_step = 0
        self.validations_since_best = 0
        self.stop_reason: str | None = None

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Update the weights once."""
        config, model, device = self.config, self.model, self.model.device
        after = self.progress_after(number, progress)
        started, rate = time.monotonic(), learning_rate(progress, config, after=after)
        loss = torch.zeros((), device=device)
        model.train()
        for index, start in enumerate(self.micro_batches):
            first = number * config.batch_size + start
            inputs, targets = (part.to(device) for part in self.sampler.read(first, self.micro_batches.step))
            seed_torch(config.seed, first)  # for dropout
            with (
                no_sync(self.loss, model, enabled=index < config.accumulate - 1),
                autocast(device, self.precision),
            ):
                micro_loss = self.forward(inputs, targets) / config.accumulate
            micro_loss.backward()
            loss += micro_loss.detach()
        norm = full_tensor(nn.utils.clip_grad_norm_(model.parameters(), config.clip or math.inf))
        mean_loss, gradient_norm = torch.stack([self.group.all_reduce_mean(loss), norm]).tolist()
        check_finite(config, number + 1, loss=mean_loss, gradient_norm=gradient_norm)
        for optimizer in self.optimizers:
            scale_learning_rates(optimizer, rate)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return {
            "loss": mean_loss,
            "learning_rate": config.learning_rate * rate,
            "gradient_norm": gradient_norm,
            "tokens_per_second": self.tokens_per_step / max(time.monotonic() - started, 1e-9),
        }

    def progress_after(self, number: int, progress: float) -> float:
        """The share of the budget spent after one more step like the ``number`` steps before; of a budget in
        minutes, the first step counts for nothing."""
        if number:
            return min(1.0, progress * (number + 1) / number)
        limits = (self.config.steps, self.config.tokens / self.tokens_per_step)
        return min(1.0, max(1 / limit if limit else 0.0 for limit in limits))

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Evaluate on the validation split and keep the best model; None if stopped before the end."""
        model = full_model(self.model)
        values = torch.zeros(len(_VALIDATION_METRICS), dtype=torch.float64)
        if self.group.is_main_process:
            found = evaluate(
                model,
                self.splits.validation,
                eos_id=self.tokenizer.eos_id,
                max_tokens=self.config.evaluation_tokens,
                precision=self.precision,
                should_stop=should_stop,
            )
            found["validation_loss"] = found["loss"]
            values = torch.tensor([found[name] for name in _VALIDATION_METRICS], dtype=torch.float64)
        if self.group.broadcast_bool(should_stop):
            return None
        metrics = dict(zip(_VALIDATION_METRICS, self.group.broadcast(values).tolist(), strict=True))
        check_finite(self.config, number, validation_loss=metrics["validation_loss"])
        if metrics["validation_loss"] < self.best["validation_loss"]:
            self.best, self.best_step, self.validations_since_best = metrics, number, 0
            if self.group.is_main_process:
                save_checkpoint(self.folder / "model", model, self.tokenizer, {"step": number, **metrics})
        else:
            self.validations_since_best += 1
            if self.config.patience and self.validations_since_best >= self.config.patience:
                self.stop_reason = "patience"
        return metrics

    def generate_samples(self, number: int) -> list[Sample]:  # noqa: ARG002
        """Samples of an empty prompt and of the openings of some validation documents."""
        model = full_model(self.model)
        if not self.group.is_main_process:
            return []
        return generate_samples(
            model, self.tokenizer, self.splits.validation, context=self.context, precision=self.precision
        )

    def values(self) -> dict[str, Any]:
        """The best metrics so far, and how long ago they were reached."""
        return {
            "best": self.best,
            "best_step": self.best_step,
            "fruitless": self.validations_since_best,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The current weights and the optimizers' state."""
        return {
            **module_tensors("model", self.model),
            **optimizer_tensors("optimizer", self.model, *self.optimizers),
        }

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore a saved state."""
        self.best, self.best_step = values["best"], values["best_step"]
        self.validations_since_best = values["fruitless"]
        load_module_tensors("model", self.model, tensors)
        load_optimizer_tensors("optimizer", self.model, tensors, *self.optimizers)

    def result(self, loop: LoopResult) -> PretrainResult:
        """The result of the whole training."""
        return PretrainResult(
            best_validation_loss=self.best["validation_loss"],
            perplexity=self.best["perplexity"],
            steps=loop.steps,
            stop_reason=loop.stop_reason,
            metrics={
                **self.best,
                "best_step": self.best_step,
                "tokens": loop.steps * self.tokens_per_step,
                "seconds": loop.seconds,
                "parameters": self.model.config.parameters,
            },
        )


def _check_length(splits: Shards, *, context: int) -> None:
    count = len(splits.train.tokens)
    if count < context + 1:
        raise InputError(
            f"corpus: its {count} training tokens are fewer than one context of {context};"
            " use more text or a smaller context"
        )
