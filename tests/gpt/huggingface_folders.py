"""Folders of tiny random models as `transformers` saves them, and its readings of folders."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Tokenizer as Backend
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging

logging.disable_progress_bar()
logging.set_verbosity_error()

TEXTS = ["The cat, they say, sat on the mat. The cat wasn't happy!\n", "Été — 学而时习之 🙂 in 1984"] * 3

SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
}
GPT2_SIZES: dict[str, Any] = {
    "vocab_size": 320,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "bos_token_id": 1,
    "eos_token_id": 1,
}
LLAMA3_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}

FOLDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("gpt2", {}),
    "gpt2 with exact GELU, untied": (
        "gpt2",
        {"activation_function": "gelu", "tie_word_embeddings": False, "n_inner": 40},
    ),
    "gpt2 with squared ReLU": ("gpt2", {"activation_function": "relu2", "layer_norm_epsilon": 1e-4}),
    "llama": ("llama", {}),
    "llama, tied, each head with its own keys": (
        "llama",
        {"tie_word_embeddings": True, "num_key_value_heads": 4, "rms_norm_eps": 1e-4},
    ),
    "llama with attention biases and wide heads": ("llama", {"attention_bias": True, "head_dim": 12}),
    "llama with biases everywhere": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama 3": (
        "llama",
        {"rope_parameters": {**LLAMA3_SCALING, "rope_theta": 500_000.0}, "num_key_value_heads": 1},
    ),
    "llama with stretched positions": (
        "llama",
        {"rope_parameters": {"rope_type": "linear", "factor": 2.5, "rope_theta": 10_000.0}},
    ),
    "qwen2": ("qwen2", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
    "qwen2, tied": ("qwen2", {"tie_word_embeddings": True, "num_key_value_heads": 1}),
    "qwen2 with a window that its last layers never reach": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 2},
    ),
    "qwen3": ("qwen3", {"head_dim": 16}),
    "qwen3, tied, with biases": (
        "qwen3",
        {"head_dim": 8, "tie_word_embeddings": True, "attention_bias": True},
    ),
    "gemma": ("gemma", {"head_dim": 16, "num_key_value_heads": 1}),
    "gemma as it was first published": ("gemma", {"head_dim": 8, "hidden_act": "gelu"}),
    "smollm3": ("smollm3", {"num_hidden_layers": 5, "no_rope_layer_interval": 2}),
    "smollm3 whose every layer has positions": (
        "smollm3",
        {"no_rope_layers": [1, 1], "tie_word_embeddings": False},
    ),
    "phi3": ("phi3", {}),
    "phi3 with partial rotation": (
        "phi3",
        {
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 500.0,
                "partial_rotary_factor": 0.75,
            },
        },
    ),
    "mistral": ("mistral", {"sliding_window": None}),
    "mistral with a window as wide as its context": ("mistral", {"sliding_window": 64, "head_dim": 12}),
    "olmo": ("olmo", {}),
    "olmo, tied, with biases": ("olmo", {"tie_word_embeddings": True, "attention_bias": True}),
}
"""Folders to read: family, and what its config says beside the sizes."""


def random_model(family: str, **changes: Any) -> Any:
    """A model of a family whose every weight, gain and bias is random, and whose logits are a few units."""
    sizes = GPT2_SIZES if family == "gpt2" else SIZES
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **{**sizes, **changes}))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model.eval()


def save_folder(folder: Path, family: str, *, shards: str = "5GB", **changes: Any) -> Any:
    """Save a random model and a tokenizer for it as `transformers` does; give the model."""
    model = random_model(family, **changes)
    model.save_pretrained(folder, max_shard_size=shards)
    published_tokenizer(family).save_pretrained(folder)
    return model


def published_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of the kind that the family is published with, over a few words."""
    special = ["<|begin|>", "<|endoftext|>", "<|pad|>", "<|im_end|>"]
    backend = Backend(models.BPE())
    backend.decoder = decoders.ByteLevel()
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if family != "gpt2":
        cut = pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
    if family in {"qwen2", "qwen3"}:
        backend.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=310, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    if family == "llama":
        backend.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", 0)]
        )
    backend.add_tokens([AddedToken("<tool>", special=False)])
    named = {"eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}
    if family == "llama":
        named["bos_token"] = "<|begin|>"
    if family == "gpt2":
        named = {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **named)


def sentencepiece_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of the kind that Llama 2 is published with."""
    special = ["<s>", "</s>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    backend = Backend(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(vocab_size=310, special_tokens=special, show_progress=False)
    backend.train_from_iterator(["the cat cats sat"] * 3, trainer)
    content = json.loads(backend.to_str())
    content["added_tokens"] = content["added_tokens"][:3]  # bytes are words like others
    backend = Backend.from_str(json.dumps(content))
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def read_model(folder: Path) -> Any:
    """The model that `transformers` finds in a folder, in fp32."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def read_tokenizer(folder: Path) -> Any:
    """The tokenizer that `transformers` finds in a folder."""
    return AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def their_logits(model: Any, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Logits [T, V] of each row, all rows in one left-padded batch."""
    tokens, mask = padded(rows)
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    logits = model(input_ids=tokens, attention_mask=mask, position_ids=positions).logits
    return [logits[place, -len(row) :] for place, row in enumerate(rows)]


def their_greedy(model: Any, rows: Sequence[Sequence[int]], *, new: int) -> list[list[int]]:
    """What `generate` writes after each row of one left-padded batch, without padding."""
    tokens, mask = padded(rows)
    written = model.generate(
        input_ids=tokens, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=2
    )
    completions: list[list[int]] = written[:, tokens.shape[1] :].tolist()
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    for row in completions:
        stop = next((place for place, each in enumerate(row) if each in ends), len(row))
        del row[stop + 1 :]
    return completions


def padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows with pads at their left, and the mask of what is real. [B, longest]"""
    longest = max(map(len, rows))
    tokens = torch.tensor([[2] * (longest - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    return tokens, mask
