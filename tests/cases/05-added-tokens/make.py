import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers

home = Path(sys.argv[1])


def gpt2(folder, rows, config):
    folder.mkdir(parents=True)
    g = torch.Generator().manual_seed(0)

    def r(*shape):
        return torch.randn(*shape, generator=g) * 0.3

    w = 32
    t = {
        "wte.weight": r(rows, w),
        "wpe.weight": r(64, w),
        "ln_f.weight": torch.ones(w),
        "ln_f.bias": torch.zeros(w),
    }
    for name, a, b in (
        ("attn.c_attn", w, 3 * w),
        ("attn.c_proj", w, w),
        ("mlp.c_fc", w, 4 * w),
        ("mlp.c_proj", 4 * w, w),
    ):
        t[f"h.0.{name}.weight"], t[f"h.0.{name}.bias"] = r(a, b), torch.zeros(b)
    for name in ("ln_1", "ln_2"):
        t[f"h.0.{name}.weight"], t[f"h.0.{name}.bias"] = torch.ones(w), torch.zeros(w)
    save_file(t, folder / "model.safetensors", metadata={"format": "pt"})
    said = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": rows,
        "n_positions": 64,
        "n_embd": w,
        "n_layer": 1,
        "n_head": 2,
        "activation_function": "gelu_new",
        **config,
    }
    (folder / "config.json").write_text(json.dumps(said))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: n for n, letter in enumerate(alphabet)}
    vocab["<|endoftext|>"] = 256
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n")


chat = home / "chat"
gpt2(chat, 259, {"eos_token_id": 258, "bos_token_id": 256})
(chat / "added_tokens.json").write_text(json.dumps({"<|im_start|>": 257, "<|im_end|>": 258}))
(chat / "special_tokens_map.json").write_text(
    json.dumps({"bos_token": "<|endoftext|>", "eos_token": "<|im_end|>"})
)
(chat / "tokenizer_config.json").write_text(
    json.dumps({"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|im_end|>"})
)

pad = home / "pad"
gpt2(pad, 257, {"eos_token_id": 256})
from tokenizers import AddedToken, Tokenizer, decoders, models  # noqa: E402

made = Tokenizer(models.BPE.from_file(str(pad / "vocab.json"), str(pad / "merges.txt")))
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
made.add_special_tokens([AddedToken("<|endoftext|>", special=True), AddedToken("[PAD]", special=True)])
made.save(str(pad / "tokenizer.json"))
(pad / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>", "pad_token": "[PAD]"}))

wide = home / "wide"
gpt2(wide, 512, {"eos_token_id": 256})
(wide / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
