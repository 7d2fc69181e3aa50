"""The saved state of an unfinished training, intact however the process that wrote it was killed.

``training.json`` holds the plain values and names the file beside it (``step-120.safetensors``) that holds
the tensors. A new state is written beside the old one and takes effect when ``training.json`` is replaced.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.gpt.distributed import full_tensor, shard_like
from training.gpt.errors import InputError

_FORMAT = 2


@dataclass(frozen=True)
class StateFolder:
    """The folder of one training's state, which belongs to its config and its inputs.

    ``config`` is a dataclass, or a tuple of several; the options named in ``free`` may change when the
    training is resumed, since they do not change its result. ``inputs`` are digests by the name that users
    know (``corpus``).
    """

    folder: Path
    config: Any
    inputs: Mapping[str, str] = field(default_factory=dict)
    free: frozenset[str] = frozenset()

    @property
    def exists(self) -> bool:
        """Whether there is a state to resume from."""
        return (self.folder / "training.json").is_file()

    def save(self, name: str, *, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Save a state; until it is complete, the previous one stays valid.

        ``name`` (``step-120``) identifies the tensors: a state of the same name reuses the saved ones.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{name}.safetensors"
        manifest = {
            "format": _FORMAT,
            "tensors": path.name,
            "config": self._options(),
            "inputs": dict(self.inputs),
            "values": values,
        }
        if not self.exists or self._read()["tensors"] != path.name:
            save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, path)
            _fsync(path)
        partial = self.folder / "training.json.partial"
        partial.write_text(json.dumps(manifest, indent=2) + "\n")
        _fsync(partial)
        partial.replace(self.folder / "training.json")
        for other in self.folder.glob("step-*"):
            if other != path:
                other.unlink(missing_ok=True)

    def load(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """The plain values and the tensors by name.

        Raises ``InputError`` if the state is damaged, or of another config or other inputs.
        """
        path = self.folder / "training.json"
        manifest = self._read()
        config = self._options()
        for name in config.keys() - self.free:
            if manifest["config"].get(name) != config[name]:
                raise InputError(
                    f"{path}: this training began with {name} {manifest['config'].get(name)}, not"
                    f" {config[name]}; go on with the same options, or begin anew in another folder"
                )
        for name, digest in self.inputs.items():
            if manifest["inputs"].get(name) != digest:
                raise InputError(
                    f"{path}: this training began with another {name}; begin anew in another folder"
                )
        tensors = self.folder / manifest["tensors"]
        try:
            return manifest["values"], load_file(tensors)
        except (OSError, SafetensorError) as error:
            raise _damaged(tensors, error) from error

    def _options(self) -> dict[str, Any]:
        configs = self.config if isinstance(self.config, tuple) else (self.config,)
        return {name: value for config in configs for name, value in asdict(config).items()}

    def _read(self) -> dict[str, Any]:
        path = self.folder / "training.json"
        try:
            manifest: dict[str, Any] = json.loads(path.read_text())
            if manifest["format"] != _FORMAT:
                raise InputError(f"{path}: of another version of this program; begin anew in another folder")
            if type(manifest["values"]["loop"]["step"]) is not int:
                raise TypeError("no step")
            manifest["config"].get, manifest["inputs"].get, self.folder / manifest["tensors"]
        except InputError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, error) from error
        return manifest


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """The weights and buffers of a module by name, each once: ``model/head.weight``.

    Sharded tensors are gathered: all processes must call this.
    """
    return {f"{prefix}/{name}": full_tensor(tensor) for name, tensor in _named_tensors(module).items()}


@torch.no_grad()
def load_module_tensors(prefix: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load what ``module_tensors`` gave into a module; ``InputError`` if it is from another module."""
    for name, target in _named_tensors(module).items():
        tensor = tensors.get(f"{prefix}/{name}")
        if tensor is None or tensor.shape != target.shape:
            raise _wrong_model(f"{prefix}/{name}")
        target.copy_(shard_like(tensor.to(target.device, target.dtype), target))


def _named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved buffers; a tensor with two names appears under the first."""
    saved = module.state_dict(keep_vars=True)
    buffers = {name: buffer for name, buffer in module.named_buffers() if name in saved}
    return {**dict(module.named_parameters()), **buffers}


def module_digest(module: nn.Module) -> str:
    """A digest of a module's weights, to recognise it as an input of a training."""
    digest = blake2b(digest_size=16)
    for name, tensor in _named_tensors(module).items():
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}\n".encode())
        flat = full_tensor(tensor).detach().cpu().reshape(-1).contiguous()
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def optimizer_tensors(
    prefix: str, module: nn.Module, *optimizers: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The state of a module's optimizers by name: ``optimizer/head.weight/exp_avg``.

    Sharded tensors are gathered: all processes must call this.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in module.named_parameters()}
    return {
        f"{prefix}/{names[parameter]}/{key}": full_tensor(tensor)
        for optimizer in optimizers
        for parameter, kept in optimizer.state.items()
        for key, tensor in kept.items()
    }


def load_optimizer_tensors(
    prefix: str, module: nn.Module, tensors: Mapping[str, Tensor], *optimizers: torch.optim.Optimizer
) -> None:
    """Load what ``optimizer_tensors`` gave into optimizers; ``InputError`` if it is from another module."""
    names = dict(module.named_parameters())
    owners = {
        parameter: optimizer
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    mine = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}/")}
    for name, tensor in mine.items():
        parameter_name, _, key = name.removeprefix(f"{prefix}/").rpartition("/")
        parameter = names.get(parameter_name)
        if parameter is None or parameter not in owners or (tensor.dim() and tensor.shape != parameter.shape):
            raise _wrong_model(name)
        # A copy into fresh memory, aligned as kernels need it.
        own = torch.empty_like(tensor, device=parameter.device).copy_(tensor)
        own = shard_like(own, parameter) if own.dim() else own
        owners[parameter].state[parameter][key] = own
    for parameter, owner in owners.items():
        if mine and parameter not in owner.state:
            raise _wrong_model(f"{prefix}/…")


def _wrong_model(name: str) -> InputError:
    return InputError(f"{name}: the state kept is of another model; begin anew in another folder")


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: not a whole state of a training ({error or type(error).__name__});"
        " begin anew in another folder"
    )


def _fsync(path: Path) -> None:
    """Wait until a file is on the disk: a power cut must not leave a name without its content."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
