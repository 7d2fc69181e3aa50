"""Weights: how a family's tensors map to ours, and reading and writing them."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.gpt.checkpoint import open_weights
from training.gpt.config import ModelConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT, rotary_frequencies

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_HEAD = "lm_head.weight"
_PICKLES = {".bin", ".pt", ".pth", ".ckpt"}
_FLOATS = {torch.float64, torch.float32, torch.bfloat16, torch.float16}
_MASK = re.compile(r"\bh\.\d+\.attn\.bias$")
_MASKED_VALUE = re.compile(r"\bh\.\d+\.attn\.masked_bias$")
_FREQUENCIES = re.compile(r"\.rotary_emb\.inv_freq$")


@dataclass(frozen=True, kw_only=True)
class TensorMapping:
    """One of our tensors, and the tensors of the family that it holds."""

    ours: str
    theirs: tuple[str, ...]
    sizes: tuple[int, ...] = ()  # our rows for each of theirs; empty: each of theirs is all of ours
    transposed: bool = False  # GPT-2 stores [inputs, outputs]
    rotary_heads: tuple[int, ...] = ()  # for each of theirs, in how many heads rotary positions turn its rows
    head: tuple[int, int] = (0, 0)  # the rows of a head, and how many of them are turned
    offset: float = 0.0  # what is added to theirs

    def parts(self, tensor: Tensor) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """Their tensors: name, the part of ours that holds it, and which of its rows stands where in ours.

        The two rows that a rotary position turns are neighbours in ours; in theirs, the first rows of all
        pairs of a head come before the second ones. No order means that the rows are the same.
        """
        tensor = tensor.T if self.transposed else tensor
        parts = torch.split(tensor, list(self.sizes)) if self.sizes else [tensor] * len(self.theirs)
        rotary_heads = self.rotary_heads or (0,) * len(self.theirs)
        for name, part, heads in zip(self.theirs, parts, rotary_heads, strict=True):
            yield name, part, self._order(len(part), heads) if heads else None

    def _order(self, rows: int, heads: int) -> Tensor:
        width, turned = self.head
        order = torch.arange(rows)
        by_head = order[: heads * width].view(heads, width)
        by_head[:, :turned] = by_head[:, :turned].view(heads, 2, -1).transpose(1, 2).reshape(heads, turned)
        return order


def tensor_mappings(config: ModelConfig, family: str) -> Iterator[TensorMapping]:
    """The mappings of all tensors of a family's model, in model order."""
    yield from _gpt2(config) if family == "gpt2" else _llama(config, family)
    if not config.tied:
        yield TensorMapping(ours="head.weight", theirs=(_HEAD,))


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
    head = (config.head_width, config.rotary_width)
    qkv = TensorMapping(
        ours="attention.qkv",
        theirs=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        sizes=(queries, keys, keys),
        rotary_heads=(config.heads, config.kv_heads, 0),
        head=head,
    )
    up = TensorMapping(
        ours="feed_forward.up",
        theirs=("mlp.gate_proj", "mlp.up_proj"),
        sizes=(config.hidden, config.hidden) if config.gated else (),
    )
    if family == "phi3":
        rotary_heads = (config.heads + config.kv_heads,)
        qkv = replace(qkv, theirs=("self_attn.qkv_proj",), sizes=(), rotary_heads=rotary_heads)
        up = replace(up, theirs=("mlp.gate_up_proj",), sizes=())
    linear = [
        (qkv, config.bias != "none"),
        (
            TensorMapping(ours="attention.out", theirs=("self_attn.o_proj",)),
            config.bias != "none" and family != "qwen2",
        ),
        (up, config.bias == "all"),
        (TensorMapping(ours="feed_forward.down", theirs=("mlp.down_proj",)), config.bias == "all"),
    ]
    gain = TensorMapping(ours="", theirs=(), offset=1.0 if family == "gemma" else 0.0)
    gains = [
        replace(gain, ours="attention_norm.weight", theirs=("input_layernorm.weight",)),
        replace(gain, ours="feed_forward_norm.weight", theirs=("post_attention_layernorm.weight",)),
    ]
    if family == "olmo":
        gains = []  # they stay 1
    if config.qk_norm:
        per_head = replace(gain, rotary_heads=(1,), head=head)
        gains += [
            replace(per_head, ours="attention.query_norm.weight", theirs=("self_attn.q_norm.weight",)),
            replace(per_head, ours="attention.key_norm.weight", theirs=("self_attn.k_norm.weight",)),
        ]
    yield TensorMapping(ours="embedding.weight", theirs=("model.embed_tokens.weight",))
    for layer in range(config.layers):
        yield from (_in_layer(each, layer) for each in gains)
        for each, biased in linear:
            yield from (_in_layer(each, layer, f".{kind}") for kind in ("weight", "bias")[: 1 + biased])
    if family != "olmo":
        yield replace(gain, ours="final_norm.weight", theirs=("model.norm.weight",))


def _in_layer(mapping: TensorMapping, layer: int, kind: str = "") -> TensorMapping:
    theirs = tuple(f"model.layers.{layer}.{name}{kind}" for name in mapping.theirs)
    return replace(mapping, ours=f"blocks.{layer}.{mapping.ours}{kind}", theirs=theirs)


@torch.no_grad()
def read_weights(model: GPT, folder: Path, family: str) -> None:
    """Fill ``model`` from a folder's safetensors, cast to its precision; names and shapes must fit.

    Positions that a shorter context has no use for are left out. Raises ``InputError`` naming a bad file or
    tensor.
    """
    state = model.state_dict()
    prefix = "transformer." if family == "gpt2" else "model."
    with ExitStack() as stack:
        stored = _Stored(folder, stack)
        for entry in tensor_mappings(model.config, family):
            for place, (name, target, order) in enumerate(entry.parts(state[entry.ours])):
                # Names lack the prefix when saved without the head, as in GPT-2's own folder.
                known = name if name in stored.files else name.removeprefix(prefix)
                if known not in stored.files:
                    raise InputError(f"{folder}: {_missing(name)}")
                tensor = stored.take(known)
                if entry.ours == "position_embedding.weight":
                    tensor = tensor[: model.config.context]
                _check(tensor, target.shape, name=stored.place(known))
                tensor = (tensor if order is None else tensor[order]).to(target.dtype)
                tensor = tensor + entry.offset if entry.offset else tensor
                if place and not entry.sizes and not torch.equal(target, tensor):
                    raise InputError(
                        f"{stored.place(known)} differs from its gate; a gated ReLU cannot be read"
                    )
                target.copy_(tensor)
        for name in sorted(stored.unread):
            _check_redundant(stored, name, model, family)


def _missing(name: str) -> str:
    if name == _HEAD:
        return (
            f"tensor {name!r} is missing, but the model is not tied; if its output is its embedding, set"
            " tie_word_embeddings to true in config.json"
        )
    return f"tensor {name!r} is missing; copy the model again"


def _check_redundant(stored: "_Stored", name: str, model: GPT, family: str) -> None:
    """Raise ``InputError`` for a tensor that says anything which the model does not say without it."""
    config, tensor = model.config, stored.take(name)
    if name == _HEAD and config.tied:
        if not torch.equal(tensor.to(model.embedding.weight.dtype), model.embedding.weight):
            raise InputError(
                f"{stored.place(name)} differs from the embedding, but the model is tied; set"
                " tie_word_embeddings to false in config.json to keep this output, or take the tensor out"
            )
        return
    if family == "gpt2" and _MASKED_VALUE.search(name):
        return
    if family == "gpt2" and _MASK.search(name):
        mask = tensor.squeeze() != 0
        if mask.dim() == 2 and torch.equal(mask, torch.ones_like(mask).tril()):
            return
    if config.positions == "rotary" and _FREQUENCIES.search(name):
        # Half precision rounds them; they were stored unscaled.
        expected = rotary_frequencies(config)
        if tensor.shape == expected.shape and torch.allclose(tensor.float(), expected, rtol=0.01, atol=1e-5):
            return
        raise InputError(
            f"{stored.place(name)} differs from rope_theta {config.rotary_base:g} in config.json"
        )
    raise InputError(f"{stored.files[name]}: tensor {name!r} is unexpected in a {family} model")


class _Stored:
    """The tensors of a folder's files by name, and which of them have not been read."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.files: dict[str, Path] = {}
        self._opened = {path: stack.enter_context(open_weights(path)) for path in weight_files(folder)}
        for path, file in self._opened.items():
            for name in file.keys():  # noqa: SIM118
                if name in self.files:
                    raise InputError(
                        f"{path}: tensor {name!r} is in {self.files[name].name} too; copy the model again"
                    )
                self.files[name] = path
        self.unread = set(self.files)

    def place(self, name: str) -> str:
        return f"{self.files[name]}: {name}"

    def take(self, name: str) -> Tensor:
        self.unread.discard(name)
        tensor: Tensor = self._opened[self.files[name]].get_tensor(name)
        return tensor


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
        for name, part, order in entry.parts(tensor):
            written = part - entry.offset if entry.offset else part
            yield name, written if order is None else written[order.argsort()]


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
