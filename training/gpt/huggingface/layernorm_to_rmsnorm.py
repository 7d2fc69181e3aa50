"""Converting a LayerNorm model to an equivalent RMSNorm model.

LayerNorm is RMSNorm after subtracting the mean. If everything that is added to the residual stream has mean
0, there is nothing to subtract. So the mean is subtracted once from the weights that write to the stream
(Ashkboos et al. 2024, "SliceGPT").
"""

from dataclasses import replace

import torch
from torch import Tensor

from training.gpt.model import GPT, Attention, Block


def can_convert_to_rmsnorm(model: GPT) -> bool:
    """Whether a model has LayerNorms without biases, in a layout with rotary positions."""
    config = model.config
    return config.norm == "layer" and config.positions == "rotary" and config.bias != "all"


@torch.no_grad()
def convert_to_rmsnorm(model: GPT) -> GPT:
    """A copy with RMSNorm and the same logits, to rounding; a tied head becomes a separate matrix."""
    config = replace(model.config, norm="rms", tied=False)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    copy = GPT(config).train(model.training)
    copy.load_state_dict(state)
    _subtract_mean(copy.embedding.weight, dim=1)
    for block in copy.blocks:
        assert isinstance(block, Block)
        for layer in (block.attention.out, block.feed_forward.down):
            for written in (layer.weight, layer.bias):
                if written is not None:
                    _subtract_mean(written, dim=0)
        if config.qk_norm:
            _centre_query_and_key_heads(block.attention)
    return copy


def _centre_query_and_key_heads(attention: Attention) -> None:
    """Subtract the mean from each head's query and key weights."""
    rotary_heads = sum(attention.split[:2])
    for projected in (attention.qkv.weight, attention.qkv.bias):
        if projected is not None:
            heads = projected.view(-1, attention.head_width, *projected.shape[1:])[:rotary_heads]
            _subtract_mean(heads, dim=1)


def _subtract_mean(tensor: Tensor, *, dim: int) -> None:
    tensor.sub_(tensor.mean(dim=dim, keepdim=True))
