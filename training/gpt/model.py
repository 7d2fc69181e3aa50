"""The transformer: one decoder whose config covers the layouts of GPT-2, Llama, Qwen2 and Qwen3.

Shapes: B sequences, T tokens given, S tokens attended to (cached ones and the T given), D width, H heads.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from training.gpt.config import ModelConfig

Rotation = tuple[Tensor, Tensor]


class KVCache:
    """Keys and values of the tokens already read, with room for ``capacity`` tokens of ``rows`` sequences."""

    def __init__(self, model: "GPT", *, rows: int, capacity: int, padding: Tensor | None = None) -> None:
        config, weight = model.config, model.embedding.weight
        shape = (config.layers, rows, config.kv_heads, capacity, config.head_width)
        self.keys = weight.new_empty(shape)
        self.values = weight.new_empty(shape)
        self.length = 0
        self.padding = padding

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append [B, kv heads, T, head width] after ``length``; give back all S of this layer."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def select(self, rows: Tensor) -> None:
        """Keep ``rows`` [R] (indices; may repeat or drop sequences), in that order."""
        self.keys = self.keys.index_select(1, rows)
        self.values = self.values.index_select(1, rows)
        if self.padding is not None:
            self.padding = self.padding[rows]


class Norm(nn.Module):
    """RMSNorm or LayerNorm over the last dimension."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.kind = config.norm
        self.weight = nn.Parameter(torch.ones(config.width))
        with_bias = config.norm == "layer" and config.bias == "all"
        self.bias = nn.Parameter(torch.zeros(config.width)) if with_bias else None

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "rms":
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class Attention(nn.Module):
    """Causal self-attention; groups of query heads may share a key and value head."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.split = [config.heads, config.kv_heads, config.kv_heads]
        self.head_width = config.head_width
        self.dropout = config.dropout
        inner, wide = config.heads * config.head_width, sum(self.split) * config.head_width
        self.qkv = nn.Linear(config.width, wide, bias=config.bias != "none")
        self.out = nn.Linear(inner, config.width, bias=config.bias in {"attention", "all"})
        # Gains of queries and of keys, shared by all heads (Qwen3's layout).
        self.query_gain = nn.Parameter(torch.ones(config.head_width)) if config.qk_norm else None
        self.key_gain = nn.Parameter(torch.ones(config.head_width)) if config.qk_norm else None
        self.norm_eps = config.norm_eps

    def forward(
        self, x: Tensor, *, rotation: Rotation | None, mask: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        batch, length, _ = x.shape
        heads = self.qkv(x).view(batch, length, sum(self.split), self.head_width)
        turned, value = heads[:, :, : -self.split[2]], heads[:, :, -self.split[2] :].transpose(1, 2)
        if self.query_gain is not None and self.key_gain is not None:
            gains = (self.query_gain.expand(self.split[0], -1), self.key_gain.expand(self.split[1], -1))
            normal = F.rms_norm(turned, (self.head_width,), eps=self.norm_eps)
            turned = normal * torch.cat(gains).to(normal.dtype)
        if rotation is not None:
            turned = rotate(turned, rotation)
        query, key = turned.transpose(1, 2).split(self.split[:2], dim=1)
        if cache is not None:
            key, value = cache.extend(self.layer, key, value)
        mixed = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
            # One new token sees everything before it: only a longer stretch needs the triangle.
            is_causal=mask is None and length > 1,
            enable_gqa=self.split[0] != self.split[1],
        )
        return cast("Tensor", self.out(mixed.transpose(1, 2).flatten(2)))


class FeedForward(nn.Module):
    """Two linear layers around a GELU (exact, or GPT-2's tanh form), a squared ReLU, or a gated SiLU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = config.activation
        wide, bias = config.hidden * (2 if config.gated else 1), config.bias == "all"
        self.up = nn.Linear(config.width, wide, bias=bias)
        self.down = nn.Linear(config.hidden, config.width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.up(x)
        if self.activation == "relu2":
            x = F.relu(x).square()
        elif self.activation == "gelu":
            x = F.gelu(x)
        elif self.activation == "gelu_tanh":
            x = F.gelu(x, approximate="tanh")
        else:
            gate, x = x.chunk(2, dim=-1)
            x = F.silu(gate) * x
        return cast("Tensor", self.down(x))


class Block(nn.Module):
    """Attention and feed-forward, each normalised before and added to the residual stream."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = Norm(config)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = Norm(config)
        self.feed_forward = FeedForward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, *, rotation: Rotation | None, mask: Tensor | None, cache: KVCache | None
    ) -> Tensor:
        attended = self.attention(self.attention_norm(x), rotation=rotation, mask=mask, cache=cache)
        x = x + self.dropout(attended)
        return cast("Tensor", x + self.dropout(self.feed_forward(self.feed_forward_norm(x))))


class GPT(nn.Module):
    """The whole model: tokens to next-token logits."""

    rotary_cos: Tensor
    rotary_sin: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        learned = config.positions == "learned"
        self.position_embedding = nn.Embedding(config.context, config.width) if learned else None
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.final_norm = Norm(config)
        self.head = nn.Linear(config.width, config.vocab_size, bias=False)
        if config.tied:
            self.head.weight = self.embedding.weight
        cos, sin = rotary_tables(config)
        self.register_buffer("rotary_cos", cos, persistent=False)
        self.register_buffer("rotary_sin", sin, persistent=False)
        self.apply(self._initialise)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.out.weight", "feed_forward.down.weight")):
                # Every block adds to the stream twice: keep the variance of the sum (GPT-2).
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
        real token attends to them (states at the pads themselves mean nothing). With a ``cache``, the tokens
        follow those it holds; it keeps the padding of the first call.
        """
        length = tokens.shape[1]
        start = 0 if cache is None else cache.length
        if cache is not None:
            padding = cache.padding = cache.padding if padding is None else padding
        if padding is None and start + length > self.config.context:
            raise ValueError(f"{start + length} tokens do not fit a context of {self.config.context}")
        places = torch.arange(start, start + length, device=tokens.device)
        if padding is not None:
            places = (places - padding[:, None]).clamp_min(0)  # [B, T]
        x = self.embedding(tokens)
        if self.position_embedding is not None:
            x = x + self.position_embedding(places)
            rotation = None
        else:
            rotation = self.rotary_cos[places].unsqueeze(-2), self.rotary_sin[places].unsqueeze(-2)
        mask = attention_mask(start, length, padding=padding, device=tokens.device)
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x, rotation=rotation, mask=mask, cache=cache)
        if cache is not None:
            cache.length += length
        return cast("Tensor", self.final_norm(x))

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
        """Where the weights are."""
        return self.embedding.weight.device


def attention_mask(start: int, length: int, *, padding: Tensor | None, device: torch.device) -> Tensor | None:
    """Who may look at whom: bool, [T, S] or [B, 1, T, S]; None where plain causal attention says it all."""
    if padding is None and (start == 0 or length == 1):
        return None
    query = torch.arange(start, start + length, device=device)[:, None]
    key = torch.arange(start + length, device=device)[None, :]
    if padding is None:
        return key <= query
    # A pad looks at itself, or its softmax would be over nothing and spread NaN.
    allowed = ((key >= padding[:, None, None]) & (key <= query)) | (key == query)
    return allowed[:, None]


def rotary_tables(config: ModelConfig) -> Rotation:
    """Cosines and sines [context, head width] of the rotary embedding (Su et al. 2021; Llama's layout)."""
    exponents = torch.arange(0, config.head_width, 2, dtype=torch.float32) / config.head_width
    # As the published models round it: far into a long context, the last bit of a frequency shows.
    frequencies = 1.0 / config.rotary_base**exponents
    if config.rotary_scaling == "linear":
        frequencies = frequencies / config.rotary_factor
    elif config.rotary_scaling == "llama3":
        # The fewer turns a pair makes in the old context, the more it is stretched (Dubey et al. 2024).
        turns = config.rotary_context * frequencies / (2 * math.pi)
        kept = (turns - config.rotary_long) / (config.rotary_short - config.rotary_long)
        kept = kept.clamp(0.0, 1.0)
        frequencies = kept * frequencies + (1 - kept) * frequencies / config.rotary_factor
    angles = torch.outer(torch.arange(config.context, dtype=torch.float32), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn each pair (i, i + half) of ``x`` [B, T, heads, head width] by its position's angle."""
    cos, sin = rotation
    left, right = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-right, left), dim=-1) * sin).to(x.dtype)
