"""Small models and vocabularies that the tests share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from training.gpt.config import ModelConfig, TokenizerConfig
from training.gpt.corpus.shards import Shards, open_shards, write_shards
from training.gpt.corpus.splits import DocumentPart
from training.gpt.generation.generate import complete
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer

LAYOUTS: dict[str, dict[str, Any]] = {
    "modern": {},
    "rms": {"norm": "rms"},
    "gpt2": {
        "norm": "layer",
        "positions": "learned",
        "activation": "gelu_tanh",
        "bias": "all",
        "qk_norm": False,
    },
    "llama": {
        "norm": "rms",
        "activation": "swiglu",
        "qk_norm": False,
        "kv_heads": 2,
        "head_width": 6,
        "rotary_scaling": "llama3",
        "rotary_factor": 8.0,
        "rotary_context": 16,
        "bias": "attention",
        "tied": False,
    },
    "qwen2": {"norm": "rms", "activation": "swiglu", "qk_norm": False, "kv_heads": 1, "bias": "qkv"},
    "qwen3": {"norm": "rms", "activation": "swiglu", "kv_heads": 2, "head_width": 16},
}


def tiny_model(**changes: Any) -> GPT:
    """A random two-layer model whose logits are far from uniform, ready for evaluation."""
    values = {"vocab_size": 23, "context": 32, "layers": 2, "heads": 4, "width": 32, **changes}
    torch.manual_seed(7)
    model = GPT(ModelConfig(**values))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(8)
            else:
                weight.add_(torch.randn_like(weight) * 0.2)
    return model.eval()


def texts(*arguments: Any, **options: Any) -> list[list[str]]:
    """``complete``, and of each completion the text alone."""
    return [[each.text for each in own] for own in complete(*arguments, **options)]


def tiny_tokenizer(*texts: str, kind: str = "bpe") -> Tokenizer:
    """A vocabulary of ``texts``."""
    return Tokenizer.train(
        texts or ("the cat sat on the mat",), TokenizerConfig(tokenizer=kind, vocab_size=300)
    )


def shards_of(
    tokenizer: Tokenizer, folder: Path, *, train: Sequence[str], validation: Sequence[str] = ()
) -> Shards:
    """The token shards of documents whose splits are known."""
    folder.mkdir(parents=True, exist_ok=True)
    named = [("train", text) for text in train] + [("validation", text) for text in validation]
    parts = ((name, DocumentPart(text, 0, None, ends=True)) for name, text in named)
    return open_shards(folder, write_shards(parts, tokenizer, folder))
