"""Model folders: ``model.safetensors``, ``config.json`` and ``tokenizer.json``, which cannot contain code.

``chat_template.jinja`` is there if the model has a chat template, which runs in a sandbox.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from training.gpt.chat_template import ChatTemplate
from training.gpt.config import ModelConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import SpecialTokens, Tokenizer

CHAT_TEMPLATE = "chat_template.jinja"


def save_checkpoint(
    folder: Path, model: GPT, tokenizer: Tokenizer, extra: Mapping[str, Any] | None = None
) -> None:
    """Write the model and its tokenizer into ``folder``; ``extra`` (plain values) goes into ``config.json``.

    Each file is written atomically, so that a killed process leaves the previous checkpoint readable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": "gpt",
        "model": model.config.to_dict(),
        "special_tokens": asdict(tokenizer.special),
        "extra": dict(extra or {}),
    }
    template = tokenizer.chat_template
    if template is not None:
        config["chat"] = {"tokens": dict(template.tokens), "always": tokenizer.always_chat}
        source = template.source
        _write_atomically(folder / CHAT_TEMPLATE, lambda path: write_text(path, source))
    save_weights(model, folder / "model.safetensors")
    _write_atomically(folder / "tokenizer.json", tokenizer.save)
    _write_atomically(
        folder / "config.json", lambda path: path.write_text(json.dumps(config, indent=2) + "\n")
    )


def load_checkpoint(folder: Path, *, device: torch.device | str = "cpu") -> tuple[GPT, Tokenizer]:
    """Read what ``save_checkpoint`` wrote, ready for evaluation; raise ``InputError`` naming a bad file."""
    config, tokenizer = load_vocabulary(folder)
    model = GPT(config)
    load_weights(model, folder / "model.safetensors")
    return model.to(device).eval(), tokenizer


def load_vocabulary(folder: Path) -> tuple[ModelConfig, Tokenizer]:
    """Read what ``save_checkpoint`` wrote, except the weights; raise ``InputError`` naming a bad file."""
    stored = read_config(folder)
    config = ModelConfig.from_dict(stored["model"])
    special = SpecialTokens.from_dict(stored.get("special_tokens"))
    template, always = _load_chat_template(folder, stored.get("chat"))
    tokenizer = Tokenizer.load(folder / "tokenizer.json", special, chat_template=template, always_chat=always)
    check_vocabulary(tokenizer, config, folder / "tokenizer.json")
    return config, tokenizer


def _load_chat_template(folder: Path, stored: Any) -> tuple[ChatTemplate | None, bool]:
    """The chat template that ``config.json`` says is there, and whether every prompt is read through it."""
    if stored is None:
        return None, False
    try:
        source = read_text(folder / CHAT_TEMPLATE)
        return ChatTemplate(source, dict(stored["tokens"])), bool(stored["always"])
    except (OSError, UnicodeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise InputError(f"{folder / CHAT_TEMPLATE}: {error}") from None
        raise InputError(
            f"{folder / CHAT_TEMPLATE}: cannot be read ({error}); copy the model again"
        ) from error


def read_text(path: Path) -> str:
    """The text of a file, with its line ends as they are."""
    return path.read_bytes().decode("utf-8")


def write_text(path: Path, text: str) -> None:
    """Write a text, with its line ends as they are."""
    path.write_bytes(text.encode())


def read_config(folder: Path) -> dict[str, Any]:
    """Content of ``config.json``: ``architecture``, ``model``, ``special_tokens`` and ``extra``."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the folder of a saved model") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); copy the model again") from error
    if (
        not isinstance(config, dict)
        or config.get("architecture") != "gpt"
        or not isinstance(config.get("model"), dict)
    ):
        raise InputError(f"{path}: not the configuration of a model of this program")
    return config


def save_weights(model: GPT, path: Path) -> None:
    """Write the weights as a safetensors file that ``load_weights`` reads."""
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in model.state_dict().items()}
    if model.config.tied:
        del tensors["head.weight"]  # the embedding under a second name
    _write_atomically(path, lambda partial: save_file(tensors, partial, metadata={"format": "pt"}))


def load_weights(model: GPT, path: Path) -> None:
    """Fill ``model`` from a safetensors file; names and shapes must match exactly."""
    wanted = model.state_dict()
    if model.config.tied:
        del wanted["head.weight"]
    with open_weights(path) as stored:
        names = set(stored.keys())
        wrong = sorted(names ^ wanted.keys())
        if wrong:
            raise InputError(
                f"{path}: tensor {wrong[0]!r} is {'unexpected' if wrong[0] in names else 'missing'}"
            )
        for name, target in wanted.items():
            tensor = stored.get_tensor(name)
            if tensor.shape != target.shape:
                raise InputError(
                    f"{path}: {name} is {list(tensor.shape)}, but config.json says {list(target.shape)}"
                )
            target.copy_(tensor)


@contextmanager
def open_weights(path: Path) -> Iterator[Any]:
    """A safetensors file to read tensors from; raise ``InputError`` if it is missing or not whole."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; a model folder needs its weights in safetensors format")
    try:
        with safe_open(path, framework="pt") as stored:
            yield stored
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); copy the model again") from error


def check_vocabulary(tokenizer: Tokenizer, config: ModelConfig, path: Path) -> None:
    """Raise ``InputError`` if the tokenizer at ``path`` has ids that the model does not embed."""
    ids = [tokenizer.vocab_size - 1, *tokenizer.eos_ids, tokenizer.bos_id, tokenizer.pad_id]
    if max(ids) >= config.vocab_size:
        raise InputError(
            f"{path}: {1 + max(ids)} tokens, but the model knows {config.vocab_size}; take the tokenizer that"
            " belongs to the model"
        )


def _write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    partial = path.with_name(path.name + ".partial")
    write(partial)
    partial.replace(path)
