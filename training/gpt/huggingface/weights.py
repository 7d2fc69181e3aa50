"""Weights: how a family's tensors map to ours, and reading and writing them."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.gpt.checkpoint import open_weights
from training.gpt.config import ModelConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PREFIX = {"gpt2": "transformer.", "llama": "model.", "qwen2": "model.", "qwen3": "model."}
_PICKLES = {".bin", ".pt", ".pth", ".ckpt"}
_FLOATS = {torch.float64, torch.float32, torch.bfloat16, torch.float16}
_NO_WEIGHTS = re.compile(r"\.attn\.(bias|masked_bias)$|\.rotary_emb\.inv_freq$")
"""Causal masks and frequencies, which older versions of ``transformers`` stored beside the weights."""


@dataclass(frozen=True, kw_only=True)
class TensorMapping:
    """One of our tensors, and the tensors of the family that it holds."""

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...] = ()  # our rows for each of theirs; empty: each of theirs is all of ours
    transposed: bool = False  # GPT-2 stores [inputs, outputs]
    rotary_heads: tuple[int, ...] = ()  # for each of theirs, in how many heads rotary positions turn its rows

    def views(self, tensor: Tensor) -> Iterator[tuple[str, Tensor, torch.Size]]:
        """Their tensors: name, a view into ours in their order, and the shape they give it.

        The two rows that a rotary position turns are neighbours here; there, the first rows of all pairs of a
        head come before the second ones, so that the view has [heads, 2, pairs] in the place of rows.
        """
        tensor = tensor.T if self.transposed else tensor
        parts = torch.split(tensor, list(self.sizes)) if self.sizes else [tensor] * len(self.theirs)
        rotary_heads = self.rotary_heads or (0,) * len(self.theirs)
        for name, part, heads in zip(self.theirs, parts, rotary_heads, strict=True):
            view = part.view(heads, -1, 2, *part.shape[1:]).transpose(1, 2) if heads else part
            yield name, view, part.shape


def tensor_mappings(config: ModelConfig, family: str) -> Iterator[TensorMapping]:
    """The mappings of all tensors of a family's model, in model order."""
    yield from _gpt2(config) if family == "gpt2" else _llama(config, family)
    if not config.tied:
        yield TensorMapping(ours="head.weight", theirs=("lm_head.weight",))


def _gpt2(config: ModelConfig) -> Iterator[TensorMapping]:
    yield TensorMapping(ours="embedding.weight", theirs=("transformer.wte.weight",))
    yield TensorMapping(ours="position_embedding.weight", theirs=("transformer.wpe.weight",))
    modules = [
        (f"blocks.{layer}.{ours}", f"transformer.h.{layer}.{theirs}")
        for layer in range(config.layers)
        for ours, theirs in (
            ("attention_norm", "ln_1"),
            ("attention.qkv", "attn.c_attn"),
            ("attention.out", "attn.c_proj"),
            ("feed_forward_norm", "ln_2"),
            ("feed_forward.up", "mlp.c_fc"),
            ("feed_forward.down", "mlp.c_proj"),
        )
    ]
    for ours, theirs in [*modules, ("final_norm", "transformer.ln_f")]:
        yield TensorMapping(ours=f"{ours}.weight", theirs=(f"{theirs}.weight",), transposed=".c_" in theirs)
        yield TensorMapping(ours=f"{ours}.bias", theirs=(f"{theirs}.bias",))


def _llama(config: ModelConfig, family: str) -> Iterator[TensorMapping]:
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    halves = (config.hidden, config.hidden) if config.gated else ()
    rotary_heads = (config.heads, config.kv_heads, 0)
    linear: list[tuple[str, tuple[str, ...], tuple[int, ...], bool]] = [
        # Ours, theirs, how ours is shared out, whether it has a bias.
        (
            "attention.qkv",
            ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
            (queries, keys, keys),
            config.bias != "none",
        ),
        ("attention.out", ("self_attn.o_proj",), (), config.bias != "none" and family != "qwen2"),
        ("feed_forward.up", ("mlp.gate_proj", "mlp.up_proj"), halves, config.bias == "all"),
        ("feed_forward.down", ("mlp.down_proj",), (), config.bias == "all"),
    ]
    gains = [
        ("attention_norm.weight", "input_layernorm.weight"),
        ("feed_forward_norm.weight", "post_attention_layernorm.weight"),
    ]
    if config.qk_norm:
        gains += [
            ("attention.query_norm.weight", "self_attn.q_norm.weight"),
            ("attention.key_norm.weight", "self_attn.k_norm.weight"),
        ]
    yield TensorMapping(ours="embedding.weight", theirs=("model.embed_tokens.weight",))
    for layer in range(config.layers):
        block, prefix = f"blocks.{layer}", f"model.layers.{layer}"
        for own, their in gains:
            per_head = own.startswith("attention.")
            yield TensorMapping(
                ours=f"{block}.{own}", theirs=(f"{prefix}.{their}",), rotary_heads=(1,) if per_head else ()
            )
        for ours, theirs, sizes, biased in linear:
            for kind in ("weight", "bias") if biased else ("weight",):
                names = tuple(f"{prefix}.{name}.{kind}" for name in theirs)
                heads = rotary_heads if ours == "attention.qkv" else ()
                yield TensorMapping(
                    ours=f"{block}.{ours}.{kind}", theirs=names, sizes=sizes, rotary_heads=heads
                )
    yield TensorMapping(ours="final_norm.weight", theirs=("model.norm.weight",))


@torch.no_grad()
def read_weights(model: GPT, folder: Path, family: str) -> None:
    """Fill ``model`` from a folder's safetensors, cast to its precision; names and shapes must fit.

    Positions that a shorter context has no use for are left out. Raises ``InputError`` naming a bad file or
    tensor.
    """
    state = model.state_dict()
    with ExitStack() as stack:
        files = {path: stack.enter_context(open_weights(path)) for path in weight_files(folder)}
        where = {name: path for path, file in files.items() for name in file.keys()}  # noqa: SIM118
        unread = set(where)
        for entry in tensor_mappings(model.config, family):
            for place, (name, target, shape) in enumerate(entry.views(state[entry.ours])):
                # Names lack the prefix when saved without the head, as in GPT-2's own folder.
                known = name if name in where else name.removeprefix(_PREFIX[family])
                if known not in where:
                    raise InputError(f"{folder}: tensor {name!r} is missing; copy the model again")
                tensor = files[where[known]].get_tensor(known)
                if entry.ours == "position_embedding.weight":
                    tensor = tensor[: model.config.context]
                _check(tensor, shape, name=f"{where[known]}: {known}")
                tensor = tensor.reshape(target.shape)
                if place and not entry.sizes and not torch.equal(target, tensor.to(target.dtype)):
                    raise InputError(
                        f"{where[known]}: {known} differs from its gate; a gated ReLU cannot be read"
                    )
                target.copy_(tensor)
                unread.discard(known)
    tied = "lm_head.weight" if model.config.tied else ""
    unread = {name for name in unread if name != tied and not _NO_WEIGHTS.search(name)}
    if unread:
        raise InputError(f"{where[min(unread)]}: tensor {min(unread)!r} is unexpected in a {family} model")


def write_weights(model: GPT, folder: Path, family: str, *, dtype: torch.dtype, shard_bytes: int) -> None:
    """Write the model's tensors as the family names them, in files of at most ``shard_bytes`` (one tensor at
    least). Biases that the family has and the model has not are zeros."""
    shards: list[dict[str, Tensor]] = [{}]
    size = total = 0
    for name, tensor in _family_tensors(model, family):
        count = tensor.numel() * dtype.itemsize
        if shards[-1] and size + count > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size, total = size + count, total + count
    names = [_WEIGHTS]
    if len(shards) > 1:
        names = [f"model-{i + 1:05}-of-{len(shards):05}.safetensors" for i in range(len(shards))]
        places = {tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard}
        index = {"metadata": {"total_size": total}, "weight_map": places}
        (folder / _INDEX).write_text(json.dumps(index, indent=2) + "\n")
    for name, shard in zip(names, shards, strict=True):
        copied = {key: tensor.to("cpu", dtype, copy=True).contiguous() for key, tensor in shard.items()}
        save_file(copied, folder / name, metadata={"format": "pt"})


def _family_tensors(model: GPT, family: str) -> Iterator[tuple[str, Tensor]]:
    state = model.state_dict()
    for entry in tensor_mappings(model.config, family):
        tensor = state.get(entry.ours)
        if tensor is None:
            weight = state[entry.ours.removesuffix("bias") + "weight"]
            tensor = weight.new_zeros(len(weight))
        yield from ((name, view.reshape(shape)) for name, view, shape in entry.views(tensor))


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder; raise ``InputError`` where there are none, or not all."""
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    index = folder / _INDEX
    if index.is_file():
        return [_shard(folder, name) for name in sorted(set(_weight_map(index).values()))]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise InputError(
            f"{folder / pickles[0]}: a pickle, which can run code when it is read; where you trust it, make"
            " safetensors of it: transformers' AutoModelForCausalLM.from_pretrained(FOLDER)"
            ".save_pretrained(NEW_FOLDER)"
        )
    raise InputError(f"{folder}: holds neither {_WEIGHTS} nor {_INDEX}; copy the model again")


def _weight_map(index: Path) -> Mapping[str, Any]:
    try:
        places = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{index}: not an index of weights ({error!r}); copy the model again") from error
    if not isinstance(places, dict) or not places:
        raise InputError(f"{index}: its weight_map names no file; copy the model again")
    return places


def _shard(folder: Path, name: object) -> Path:
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise InputError(f"{folder / _INDEX}: {name!r} is not the name of a safetensors file of the folder")
    if not (folder / name).is_file():
        raise InputError(f"{folder / name}: no such file, but the index names it; copy the model again")
    return folder / name


def _check(tensor: Tensor, shape: torch.Size, *, name: str) -> None:
    if tensor.shape != shape:
        raise InputError(f"{name} is {list(tensor.shape)}, but config.json says {list(shape)}")
    if tensor.dtype not in _FLOATS:
        raise InputError(f"{name} is of type {tensor.dtype}; only fp32, bf16 and fp16 can be read")
