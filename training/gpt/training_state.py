"""The state of an unfinished training on disk, whole however the process that wrote it died.

``folder/last/training.json`` holds the plain values and names the folder beside it (``step-120``) that holds
the tensors: the last model as an ordinary checkpoint, and ``optimizer.safetensors``. A new state is written
beside the old one; replacing ``training.json`` is the moment at which it counts.
"""

import json
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.gpt.checkpoint import load_weights, read_config, save_checkpoint
from training.gpt.config import PretrainConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.parallel import part_like, whole
from training.gpt.shards import Shards
from training.gpt.tokenizer import Tokenizer

_FORMAT = 1
# What a training may go on with otherwise than it began: they change where and how fast, not what.
_FREE = {"accumulate", "compile", "device", "parallel", "save_every"}


@dataclass
class Progress:
    """The plain values of a training's state; with the seed, ``step`` says where data and chance are."""

    step: int = 0
    seconds: float = 0.0
    best: dict[str, float] = field(
        default_factory=lambda: {"validation_loss": math.inf, "perplexity": math.inf}
    )
    best_step: int = 0
    fruitless: int = 0  # validations since the best
    pending: dict[str, float] | None = field(default_factory=dict)  # metrics of the step, not yet told
    stopped: str | None = None  # why the training is over

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from ``asdict``'s values; ``KeyError`` or ``TypeError`` if they are not such."""
        progress = cls(**{entry.name: values[entry.name] for entry in fields(cls)})
        if type(progress.step) is not int or type(progress.best["validation_loss"]) is not float:
            raise TypeError
        return progress


@dataclass(frozen=True)
class StateFolder:
    """``folder/last`` of one training, whose config and corpus belong to it."""

    folder: Path
    config: PretrainConfig
    corpus: str

    @property
    def exists(self) -> bool:
        """Whether there is a state to go on from."""
        return (self.folder / "training.json").is_file()

    def save(
        self, progress: Progress, *, model: GPT, tokenizer: Tokenizer, optimizer: Mapping[str, Tensor]
    ) -> None:
        """Write a state; until it is whole, the one before it stands."""
        tensors = self.folder / f"step-{progress.step}"
        manifest = {
            "format": _FORMAT,
            "tensors": tensors.name,
            "config": asdict(self.config),
            "corpus": self.corpus,
            "progress": asdict(progress),
        }
        if not self.exists or self._read()["tensors"] != tensors.name:
            shutil.rmtree(tensors, ignore_errors=True)
            save_checkpoint(tensors, model, tokenizer, {"step": progress.step})
            save_file(
                {name: tensor.detach().contiguous().cpu() for name, tensor in optimizer.items()},
                tensors / "optimizer.safetensors",
            )
            for path in tensors.iterdir():
                _sync(path)
        partial = self.folder / "training.json.partial"
        partial.write_text(json.dumps(manifest, indent=2) + "\n")
        _sync(partial)
        partial.replace(self.folder / "training.json")
        for other in self.folder.glob("step-*"):
            if other != tensors:
                shutil.rmtree(other, ignore_errors=True)

    def load(self, model: GPT) -> tuple[Progress, dict[str, Tensor]]:
        """Fill ``model``; give the plain values and the optimiser's tensors by name.

        Raises ``InputError`` if the state is damaged, or of another config, corpus or model.
        """
        path = self.folder / "training.json"
        manifest = self._read()
        config = asdict(self.config)
        for name in config.keys() - _FREE:
            if manifest["config"].get(name) != config[name]:
                raise InputError(
                    f"{path}: this training began with {name} {manifest['config'].get(name)}, not"
                    f" {config[name]}; go on with the same options, or begin anew in another folder"
                )
        if manifest["corpus"] != self.corpus:
            raise InputError(f"{path}: this training began with another corpus; begin anew in another folder")
        tensors = self.folder / manifest["tensors"]
        if read_config(tensors)["model"] != model.config.to_dict():
            raise InputError(f"{path}: this training began with another model; begin anew in another folder")
        load_weights(model, tensors / "model.safetensors")
        try:
            optimizer = load_file(tensors / "optimizer.safetensors")
        except (OSError, SafetensorError) as error:
            raise _damaged(tensors / "optimizer.safetensors", error) from error
        return Progress.from_dict(manifest["progress"]), optimizer

    def _read(self) -> dict[str, Any]:
        path = self.folder / "training.json"
        try:
            manifest: dict[str, Any] = json.loads(path.read_text())
            if manifest["format"] != _FORMAT:
                raise InputError(f"{path}: of another version of this program; begin anew in another folder")
            Progress.from_dict(manifest["progress"])
            manifest["config"].get, manifest["corpus"], self.folder / manifest["tensors"]
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, error) from error
        return manifest


def optimizer_tensors(model: GPT, *optimizers: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything the optimisers remember, by the parameter's name and their own: ``head.weight/exp_avg``.

    Of tensors shared out over processes, the whole: every process must ask.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in model.named_parameters()}
    return {
        f"{names[parameter]}/{key}": whole(tensor)
        for optimizer in optimizers
        for parameter, kept in optimizer.state.items()
        for key, tensor in kept.items()
    }


def fill_optimizers(
    tensors: Mapping[str, Tensor], path: Path, model: GPT, *optimizers: torch.optim.Optimizer
) -> None:
    """Give the optimisers back what ``optimizer_tensors`` found; ``path`` is named in ``InputError``."""
    names = dict(model.named_parameters())
    owners = {
        parameter: optimizer
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    for name, tensor in tensors.items():
        parameter_name, _, key = name.partition("/")
        parameter = names.get(parameter_name)
        if parameter is None or (tensor.dim() and tensor.shape != parameter.shape):
            raise InputError(f"{path}: {name} does not belong to this model; begin anew in another folder")
        # A copy into fresh memory: what was read need not lie as kernels like it.
        own = torch.empty_like(tensor, device=parameter.device).copy_(tensor)
        own = part_like(own, parameter) if own.dim() else own
        owners[parameter].state[parameter][key] = own
    if tensors and any(parameter not in owner.state for parameter, owner in owners.items()):
        raise InputError(f"{path}: holds too few tensors for this model; begin anew in another folder")


def identity(splits: Shards) -> str:
    """A digest that tells corpora apart: how many tokens, and the first of them."""
    digest = blake2b(digest_size=16)
    for split in (splits.train, splits.validation):
        digest.update(f"{len(split.tokens)} {split.documents} {split.text_bytes}\n".encode())
        digest.update(split.tokens[: 1 << 20].tobytes())
    return digest.hexdigest()


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: not a whole state of a training ({error or type(error).__name__});"
        " begin anew in another folder"
    )


def _sync(path: Path) -> None:
    """Wait until a file is on the disk: a power cut must not leave a name without its content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
