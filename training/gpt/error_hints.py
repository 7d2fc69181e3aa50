"""Errors that say which option to change when a training cannot continue."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from training.gpt.config import ModelConfig, PretrainConfig
from training.gpt.errors import InputError


def check_finite(config: PretrainConfig, step: int, **metrics: float) -> None:
    """Raise ``InputError`` if a metric is infinite or NaN."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise InputError(
                f"learning_rate: the {name.replace('_', ' ')} became {value} at step {step}; lower it"
                f" (now {_rates(config)}), or choose precision fp32"
            )


def _rates(config: PretrainConfig) -> str:
    used = ["learning_rate"]
    if config.optimizer == "muon":
        used += ["embedding_learning_rate", "matrix_learning_rate"]
    return ", ".join(f"{name} {getattr(config, name):g}" for name in used)


@contextmanager
def hint_on_out_of_memory(config: PretrainConfig, model: ModelConfig | None) -> Iterator[None]:
    """A block in which running out of memory raises ``InputError``; ``model`` is the config of a given
    model."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        context = config.context or (model or ModelConfig.preset(config.preset, vocab_size=2)).context
        smaller = "context" if model else "context or preset"
        if config.accumulate < config.batch_size:
            hint = f"raise accumulate (now {config.accumulate}), or take a smaller batch_size, {smaller}"
        else:
            hint = f"take a smaller {smaller}"
        raise InputError(
            f"batch_size: {config.batch_size // config.accumulate} sequences of {context} tokens at once need"
            f" more memory than there is; {hint}"
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or in the machine; PyTorch has no error type for the latter."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
