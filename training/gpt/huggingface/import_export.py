"""Importing a Hugging Face model folder, and exporting a model as one."""

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from training.gpt.checkpoint import check_vocabulary
from training.gpt.config import ExportConfig
from training.gpt.errors import InputError
from training.gpt.huggingface.families import (
    choose_family,
    detect_family,
    read_model_config,
    write_model_config,
)
from training.gpt.huggingface.layernorm_to_rmsnorm import can_convert_to_rmsnorm, convert_to_rmsnorm
from training.gpt.huggingface.tokenizers import (
    has_qwen2_pretokenizer,
    read_tokenizer,
    special_token_ids,
    write_tokenizer,
)
from training.gpt.huggingface.weights import read_weights, weight_files, write_weights
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer

_DTYPES = {
    "fp32": (torch.float32, "float32"),
    "bf16": (torch.bfloat16, "bfloat16"),
    "fp16": (torch.float16, "float16"),
}


def import_folder(
    folder: Path, *, context: int = 0, chat_template: bool = True
) -> tuple[GPT, Tokenizer, dict[str, Any]]:
    """Read a folder as ``transformers`` saves it: the model in fp32, its tokenizer, and their origin.

    Reads ``config.json``, ``model.safetensors`` (or its shards), ``tokenizer.json`` and the files beside them
    about special tokens and the chat template, which is left out if ``chat_template`` is false. ``context``
    shortens the longest sequence (0: as published). No pickle is ever opened. Raises ``InputError`` naming
    the file, field or tensor that cannot be used.
    """
    config = _read_config(folder)
    try:
        family = detect_family(config)
        shape = read_model_config(config, context=context)
    except InputError as error:
        raise InputError(f"{folder / 'config.json'}: {error}") from error
    weight_files(folder)  # raise for missing files before the work begins
    tokenizer = read_tokenizer(folder, config, chat_template=chat_template)
    check_vocabulary(tokenizer, shape, folder / "tokenizer.json")
    model = GPT(shape)
    read_weights(model, folder, family)
    origin = {"origin": folder.resolve().name, "family": family, "parameters": shape.parameters}
    return model.eval(), tokenizer, origin


def export_folder(folder: Path, model: GPT, tokenizer: Tokenizer, config: ExportConfig | None = None) -> str:
    """Write a folder that ``AutoModelForCausalLM`` and ``AutoTokenizer`` read; give its family.

    The family follows from the layout. The folder must be new or empty, and appears when it is complete.
    Raises ``InputError`` if no family can express the model's config.
    """
    config = config or ExportConfig()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: is there already; name a new or an empty folder")
    dtype, dtype_name = _DTYPES[config.dtype]
    if can_convert_to_rmsnorm(model):
        model = convert_to_rmsnorm(model)
    family = choose_family(model.config)
    whole = folder.resolve()
    partial = whole.with_name(f".{whole.name}-{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
        write_tokenizer(tokenizer, partial, context=model.config.context)
        if family == "qwen2" and not has_qwen2_pretokenizer(partial / "tokenizer.json"):
            family = "llama"  # which can express the same, with a zero bias of the output
        config_values = {**write_model_config(model.config, family), **special_token_ids(tokenizer)}
        # Older readers know the precision by its first name, newer ones by its second.
        _write_json(
            partial / "config.json", {**config_values, "torch_dtype": dtype_name, "dtype": dtype_name}
        )
        _write_json(partial / "generation_config.json", special_token_ids(tokenizer))
        write_weights(model, partial, family, dtype=dtype, shard_bytes=round(config.max_shard_size * 10**9))
        partial.replace(whole)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{folder}: cannot be written ({reason})") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return family


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the folder of a Hugging Face model")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); copy the model again") from error
    if not isinstance(config, dict):
        raise InputError(f"{path}: not the configuration of a model; copy the model again")
    return config


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
