"""The transformer: one decoder whose config covers the layouts of GPT-2, Llama and their kin.

Shapes: B sequences, T tokens given, S tokens attended to (cached ones and the T given), D width, H heads.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from training.gpt.config import ModelConfig
from training.gpt.sequence_packing import PackedLayout, pack_sequences


class KVCache:
    """Keys and values of the tokens already read; holds up to ``capacity`` tokens of ``rows`` sequences."""

    def __init__(self, model: "GPT", *, rows: int, capacity: int, padding: Tensor | None = None) -> None:
        config, weight = model.config, model.embedding.weight
        shape = (config.layers, rows, config.kv_heads, capacity, config.head_width)
        self.keys = weight.new_empty(shape)
        self.values = weight.new_empty(shape)
        self.length = 0
        self.padding = padding

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append [B, kv heads, T, head width] after ``length``; return all S of this layer."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def places_and_mask(self, length: int) -> tuple[Tensor, Tensor | None]:
        """The positions of the next ``length`` tokens, [T] or [B, T], and which keys they attend to."""
        return places_and_mask(self.length, length, padding=self.padding, device=self.keys.device)

    def advance(self, length: int) -> None:
        """Count ``length`` more tokens, once every layer has them."""
        self.length += length

    def select(self, rows: Tensor) -> None:
        """Keep ``rows`` [R] (indices; may repeat or drop sequences), in that order."""
        self.keys = self.keys.index_select(1, rows)
        self.values = self.values.index_select(1, rows)
        if self.padding is not None:
            self.padding = self.padding[rows]


class Norm(nn.Module):
    """RMSNorm or LayerNorm over the last dimension, of the given size."""

    def __init__(self, config: ModelConfig, size: int, *, bias: bool) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.kind = config.norm
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size)) if bias and config.norm == "layer" else None

    def forward(self, x: Tensor) -> Tensor:
        learns = x.requires_grad and x.device.type == "cpu" and not torch.compiler.is_compiling()
        if self.kind == "rms" and learns:
            return cast("Tensor", RMSNorm.apply(x, self.weight, self.eps))  # type: ignore[no-untyped-call]
        if self.kind == "rms":
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class RMSNorm(torch.autograd.Function):
    """x / sqrt(mean(x^2) + eps) x weight over the last dimension (Zhang and Sennrich 2019).

    On a CPU, PyTorch's own backward pass makes many passes over memory.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = torch.promote_types(x.dtype, torch.float32)
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=wide).square_()
        scale = square.div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        normed: Tensor = (x * scale).mul_(weight)
        return normed.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, scale, weight = ctx.saved_tensors
        normed = x * scale
        of_weight = (gradient * normed).flatten(0, -2).sum(dim=0)
        inner = gradient * weight
        along = torch.linalg.vecdot(inner, normed).unsqueeze(-1).div_(x.shape[-1])
        of_x = normed.mul_(along).sub_(inner).mul_(scale).neg_()
        return of_x.to(x.dtype), of_weight.to(weight.dtype), None


class SquaredReLU(torch.autograd.Function):
    """relu(x)^2 (So et al. 2021), with a backward pass, 2 relu(x), that reads memory once instead of four
    times."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = F.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (positive,) = ctx.saved_tensors
        return cast("Tensor", (gradient * positive).mul_(2))


class Attention(nn.Module):
    """Causal self-attention; groups of query heads may share a key and value head."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.split = [config.heads, config.kv_heads, config.kv_heads]
        self.head_width = config.head_width
        self.dropout = config.dropout
        self.rotates = not config.rotary_skip or (layer + 1) % config.rotary_skip != 0
        inner, wide = config.heads * config.head_width, sum(self.split) * config.head_width
        self.qkv = nn.Linear(config.width, wide, bias=config.bias != "none")
        self.out = nn.Linear(inner, config.width, bias=config.bias in {"attention", "all"})
        # Shared by all heads (Qwen3's layout).
        self.query_norm = Norm(config, config.head_width, bias=False) if config.qk_norm else None
        self.key_norm = Norm(config, config.head_width, bias=False) if config.qk_norm else None

    def forward(
        self,
        x: Tensor,
        *,
        rotation: Tensor | None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
        layout: PackedLayout | None = None,
    ) -> Tensor:
        batch, length, _ = x.shape
        heads = self.qkv(x).view(batch, length, sum(self.split), self.head_width)
        query, key, value = heads.split(self.split, dim=2)
        if self.query_norm is not None and self.key_norm is not None:
            query, key = self.query_norm(query), self.key_norm(key)
        if rotation is not None and self.rotates:
            query, key = apply_rotary(query, rotation), apply_rotary(key, rotation)
        if layout is not None:
            query, key, value = layout.unpack(query), layout.unpack(key), layout.unpack(value)
            length = layout.shape[1]
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        if length == 1 and cache is not None and x.device.type == "cpu":
            mixed = single_query_attention(query, key, value, mask)
        else:
            mixed = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=mask,
                dropout_p=self.dropout if self.training else 0.0,
                # One new token attends to everything before it; only longer inputs need the causal mask.
                is_causal=mask is None and length > 1,
                enable_gqa=self.split[0] != self.split[1],
            )
        mixed = mixed.transpose(1, 2).flatten(2)
        return cast("Tensor", self.out(mixed if layout is None else layout.repack(mixed)))


class FeedForward(nn.Module):
    """Two linear layers around a GELU (exact, or GPT-2's tanh form), a squared ReLU, or a gated SiLU or
    GELU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        wide, bias = config.hidden * (2 if config.gated else 1), config.bias == "all"
        self.up = nn.Linear(config.width, wide, bias=bias)
        self.down = nn.Linear(config.hidden, config.width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        if self.activation == "relu2":
            x = squared_relu(x)
        elif self.activation == "gelu":
            x = F.gelu(x)
        elif self.activation == "gelu_tanh":
            x = F.gelu(x, approximate="tanh")
        else:
            gate, x = x.chunk(2, dim=-1)
            gate = F.silu(gate) if self.activation == "swiglu" else F.gelu(gate, approximate="tanh")
            x = gate * x
        return cast("Tensor", self.down(x))


class Block(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = Norm(config, config.width, bias=config.bias == "all")
        self.attention = Attention(config, layer)
        self.feed_forward_norm = Norm(config, config.width, bias=config.bias == "all")
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        *,
        rotation: Tensor | None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
        layout: PackedLayout | None = None,
    ) -> Tensor:
        attended = self.attention(
            self.attention_norm(x), rotation=rotation, mask=mask, cache=cache, layout=layout
        )
        x = (x if layout is None else layout.select(x)) + self.dropout(attended)
        return cast("Tensor", x + self.dropout(self.feed_forward(self.feed_forward_norm(x))))


class GPT(nn.Module):
    """The whole model: tokens to next-token logits."""

    rotation: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.position_embedding = nn.Embedding(config.context, config.width) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.final_norm = Norm(config, config.width, bias=config.bias == "all")
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tied:
            self.head.weight = self.embedding.weight
        self.register_buffer("rotation", rotary_table(config), persistent=False)
        self.apply(self._initialise)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "feed_forward.down.weight")):
                # Every block adds to the residual stream twice: keep the variance of the sum (GPT-2).
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * config.layers))

    @staticmethod
    def _initialise(module: nn.Module) -> None:
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def hidden(
        self, tokens: Tensor, *, cache: KVCache | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """Read ``tokens`` [B, T]; give the final, normalised states [B, T, width].

        ``padding`` [B] counts the pad tokens at the left of each row: positions start at 0 after them, and no
        real token attends to them (the states of the padding are meaningless). With a ``cache``, the tokens
        follow those it holds; it keeps the padding of the first call.
        """
        length = tokens.shape[1]
        start = 0 if cache is None else cache.length
        if cache is not None:
            padding = cache.padding = cache.padding if padding is None else padding
        if padding is None and start + length > self.config.context:
            raise ValueError(f"{start + length} tokens do not fit a context of {self.config.context}")
        if cache is None:
            places, mask = places_and_mask(0, length, padding=padding, device=tokens.device)
        else:
            places, mask = cache.places_and_mask(length)
        x, rotation = self._embed(tokens, places)
        for block in self.blocks:
            x = block(x, rotation=rotation, mask=mask, cache=cache)
        if cache is not None:
            cache.advance(length)
        return cast("Tensor", self.final_norm(x))

    def packed_hidden(self, rows: Sequence[Sequence[int]], *, first: Sequence[int]) -> Tensor:
        """The final states of rows of ids, from each row's index ``first`` on, row by row. [W, width]

        Computes nothing for padding, nor for other places in the last block, and shared prefixes only once.
        """
        longest = max(map(len, rows))
        if longest > self.config.context:
            raise ValueError(f"{longest} tokens do not fit a context of {self.config.context}")
        packing = pack_sequences(rows, first, device=self.device)
        x, rotation = self._embed(packing.tokens, packing.positions)
        for block in self.blocks[:-1]:
            x = block(x, rotation=rotation, layout=packing.layout)
        x = self.blocks[-1](x, rotation=rotation, layout=packing.last_block_layout)
        return cast("Tensor", self.final_norm(x)[0])

    def _embed(self, tokens: Tensor, places: Tensor) -> tuple[Tensor, Tensor | None]:
        """The input of the first block, and the rotation of queries and keys with rotary positions."""
        x = self.embedding(tokens)
        if self.config.scaled_embedding:
            x = x * math.sqrt(self.config.width)
        if self.position_embedding is not None:
            return self.dropout(x + self.position_embedding(places)), None
        return self.dropout(x), self.rotation[places].unsqueeze(-3)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits [..., vocab_size] of states [..., width]."""
        return cast("Tensor", self.head(hidden))

    def forward(
        self, tokens: Tensor, *, cache: KVCache | None = None, padding: Tensor | None = None
    ) -> Tensor:
        """Next-token logits [B, T, vocab_size] at every place of ``tokens`` [B, T]; see ``hidden``."""
        return self.logits(self.hidden(tokens, cache=cache, padding=padding))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.embedding.weight.device


def places_and_mask(
    start: int, length: int, *, padding: Tensor | None, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """The positions of ``length`` tokens from column ``start`` on, [T] or [B, T], and ``attention_mask``."""
    places = torch.arange(start, start + length, device=device)
    if padding is not None:
        places = (places - padding[:, None]).clamp_min(0)  # [B, T]
    return places, attention_mask(start, length, padding=padding, device=device)


def attention_mask(start: int, length: int, *, padding: Tensor | None, device: torch.device) -> Tensor | None:
    """Which keys each query attends to: bool, [T, S] or [B, 1, T, S]; None if plain causal attention is
    enough."""
    if padding is None and (start == 0 or length == 1):
        return None
    query = torch.arange(start, start + length, device=device)[:, None]
    key = torch.arange(start + length, device=device)[None, :]
    if padding is None:
        return key <= query
    # Padding attends to itself, or its softmax over nothing would be NaN.
    allowed = ((key >= padding[:, None, None]) & (key <= query)) | (key == query)
    return allowed[:, None]


def single_query_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of one new token per row to all S tokens: [B, H, 1, head width] from [B, kv heads, S, head
    width].

    For a single query on a CPU, three plain products are faster than `scaled_dot_product_attention`. Query
    heads that share a key head are rows of one product.
    """
    batch, heads, _, width = query.shape
    groups = query.reshape(batch, key.shape[1], -1, width)
    scores = (groups * width**-0.5) @ key.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return cast("Tensor", (scores.softmax(dim=-1) @ value).view(batch, heads, 1, width))


def rotary_table(config: ModelConfig) -> Tensor:
    """Cosine and sine [context, rotary width / 2, 2] of each pair's angle at each place (Su et al. 2021)."""
    frequencies = rotary_frequencies(config)
    if config.rotary_scaling == "linear":
        frequencies = frequencies / config.rotary_factor
    elif config.rotary_scaling == "llama3":
        # The fewer turns a pair makes in the old context, the more it is stretched (Dubey et al. 2024).
        turns = config.rotary_context * frequencies / (2 * math.pi)
        kept = (turns - config.rotary_long) / (config.rotary_short - config.rotary_long)
        kept = kept.clamp(0.0, 1.0)
        frequencies = kept * frequencies + (1 - kept) * frequencies / config.rotary_factor
    angles = torch.outer(torch.arange(config.context, dtype=torch.float32), frequencies)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def rotary_frequencies(config: ModelConfig) -> Tensor:
    """By how much each pair is turned from one place to the next, without scaling. [rotary width / 2]"""
    exponents = torch.arange(0, config.rotary_width, 2, dtype=torch.float32) / config.rotary_width
    # Rounded as in the published models: far into a long context, the last bit of a frequency matters.
    return 1.0 / config.rotary_base**exponents


def apply_rotary(x: Tensor, rotation: Tensor) -> Tensor:
    """Turn each pair (2i, 2i + 1) of ``x`` [B, T, heads, head width] by its angle, given as ``rotary_table``.

    The pairs are neighbours, as in the paper, so that they are complex numbers: one product turns them all.
    What is beyond the rotary width stays as it is.
    """
    width = 2 * rotation.shape[-2]
    if width < x.shape[-1]:
        return torch.cat((apply_rotary(x[..., :width], rotation), x[..., width:]), dim=-1)
    pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    if torch.compiler.is_compiling():  # real numbers only, but fused into one pass
        (a, b), (cos, sin) = pairs.unbind(-1), rotation.unbind(-1)
        turned = torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1)
    else:
        product = torch.view_as_complex(pairs) * torch.view_as_complex(rotation)
        turned = torch.view_as_real(product)
    return turned.flatten(-2).to(x.dtype)


def squared_relu(x: Tensor) -> Tensor:
    """relu(x)^2, element by element."""
    return cast("Tensor", SquaredReLU.apply(x))  # type: ignore[no-untyped-call]
