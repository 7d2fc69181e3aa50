"""Folders that cannot be read, and models that cannot be written: one line that names the place."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.gpt import huggingface_folders
from tests.gpt.tiny_models import LAYOUTS, tiny_model, tiny_tokenizer
from training.gpt.config import ExportConfig
from training.gpt.errors import InputError
from training.gpt.huggingface.import_export import export_folder, import_folder

Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders named by their family, the one called `shards` in several files."""
    home = tmp_path_factory.mktemp("published")
    for family in ("gpt2", "llama", "qwen2", "gemma", "mistral", "olmo", "phi3", "smollm3"):
        huggingface_folders.save_folder(home / family, family)
    huggingface_folders.save_folder(home / "shards", "llama", shards="30KB")
    return home


def refusal(saved: Path, tmp_path: Path, name: str, spoil: Spoil) -> str:
    """The one line that says why a spoilt copy of a folder cannot be read."""
    folder = tmp_path / name
    shutil.copytree(saved / name, folder)
    spoil(folder)
    with pytest.raises(InputError) as caught:
        import_folder(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert name in message
    return message


def says(name: str, **changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def config(**changes: Any) -> Spoil:
    return says("config.json", **changes)


def both(*spoils: Spoil) -> Spoil:
    return lambda folder: [spoil(folder) for spoil in spoils]


def weights(edit: Callable[[dict[str, torch.Tensor]], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        tensors = load_file(folder / "model.safetensors")
        edit(tensors)
        save_file(tensors, folder / "model.safetensors")

    return spoil


def text(name: str, content: str) -> Spoil:
    return lambda folder: (folder / name).write_text(content)


def without(*names: str) -> Spoil:
    def spoil(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return spoil


def pickled(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pointing_outside(folder: Path) -> None:
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shutil.copy(folder / "model-00001-of-00005.safetensors", folder.parent / "outside.safetensors")
    first = next(iter(index["weight_map"]))
    index["weight_map"][first] = "../outside.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def twice(folder: Path) -> None:
    first, last = (folder / f"model-0000{number}-of-00005.safetensors" for number in (1, 5))
    for path in (first, last):
        save_file({**load_file(path), "lm_head.weight": torch.ones(320, 32)}, path)


def too_many_tokens(folder: Path) -> None:
    backend = huggingface_folders.published_tokenizer("llama")
    backend.add_tokens([f"<{number}>" for number in range(40)])
    backend.save_pretrained(folder)


BAD: dict[str, tuple[str, Spoil, str]] = {
    "no config": ("gpt2", without("config.json"), "config.json: no such file; give the folder of a Hugging"),
    "a broken config": ("gpt2", text("config.json", "{"), "config.json: not JSON"),
    "a config that is a list": ("gpt2", text("config.json", "[]"), "config.json: not the configuration"),
    "no family": (
        "gpt2",
        config(model_type=None),
        "config.json: model_type: None is unknown; readable: gpt2, llama, mistral, qwen2,",
    ),
    "an unknown family": ("gpt2", config(model_type="bert"), "model_type: 'bert' is unknown"),
    "our own checkpoint": (
        "gpt2",
        text("config.json", '{"architecture": "gpt", "model": {}}'),
        "architecture: this is a model of this program's own",
    ),
    "another head": (
        "llama",
        config(architectures=["LlamaForSequenceClassification"]),
        "architectures: 'LlamaForSequenceClassification' is unknown; readable: LlamaForCausalLM",
    ),
    "quantised weights": (
        "llama",
        config(quantization_config={"bits": 4}),
        "quantization_config: quantised weights cannot be read",
    ),
    "a size left out": ("llama", config(hidden_size=None), "config.json: hidden_size: is missing"),
    "a size that is no number": ("gpt2", config(n_embd="32"), "n_embd: '32' is not of the type int"),
    "heads that do not fit": ("gpt2", config(n_head=5), "heads: 5 heads do not divide a width of 32"),
    "scaling by layer": (
        "gpt2",
        config(scale_attn_by_inverse_layer_idx=True),
        "scale_attn_by_inverse_layer_idx: True cannot be read; only False can",
    ),
    "unscaled attention": ("gpt2", config(scale_attn_weights=False), "scale_attn_weights: False cannot"),
    "cross-attention": ("gpt2", config(add_cross_attention=True), "add_cross_attention: True cannot"),
    "an unknown activation": (
        "gpt2",
        config(activation_function="tanh"),
        "activation_function: 'tanh' is unknown; readable: gelu,",
    ),
    "an unknown gate": ("llama", config(hidden_act="gelu"), "hidden_act: 'gelu' is unknown; readable: silu"),
    "a gated ReLU": (
        "llama",
        config(hidden_act="relu"),
        "model.safetensors: model.layers.0.mlp.up_proj.weight differs from its gate",
    ),
    "biases of feed-forward layers alone": ("llama", config(mlp_bias=True), "mlp_bias: biases in feed"),
    "partial rotation": (
        "llama",
        config(partial_rotary_factor=0.5),
        "partial_rotary_factor: 0.5 cannot be read; only 1.0 can",
    ),
    "an unknown scaling": (
        "llama",
        config(rope_parameters=None, rope_scaling={"type": "yarn", "factor": 4.0}),
        "rope_scaling: 'yarn' is unknown; readable: default, dynamic, linear, llama3",
    ),
    "positions that differ by layer": (
        "llama",
        config(rope_parameters={"full_attention": {"rope_type": "default"}}),
        "rope_parameters: one set for all layers can be read",
    ),
    "a sliding window": (
        "qwen2",
        config(use_sliding_window=True, sliding_window=8, max_window_layers=1, layer_types=None),
        "sliding_window: layers that see only the last 8 tokens cannot be read; import with a context of",
    ),
    "linear attention": (
        "qwen2",
        config(layer_types=["linear_attention", "full_attention"]),
        "layer_types: only layers of 'full_attention' can be read",
    ),
    "a pickle": (
        "gpt2",
        pickled,
        "pytorch_model.bin: a pickle, which can run code when it is read; where you trust it, make",
    ),
    "no weights": ("gpt2", without("model.safetensors"), "holds neither model.safetensors nor"),
    "a truncated file": ("gpt2", truncated, "model.safetensors: not a whole safetensors file"),
    "a pickle by another name": (
        "gpt2",
        lambda folder: torch.save({}, folder / "model.safetensors"),
        "model.safetensors: not a whole safetensors file",
    ),
    "a missing tensor": (
        "llama",
        weights(lambda tensors: tensors.pop("model.layers.1.mlp.up_proj.weight")),
        "tensor 'model.layers.1.mlp.up_proj.weight' is missing",
    ),
    "an unexpected tensor": (
        "llama",
        weights(lambda tensors: tensors.update({"model.extra.weight": torch.ones(2)})),
        "tensor 'model.extra.weight' is unexpected in a llama model",
    ),
    "a misshapen tensor": (
        "gpt2",
        weights(lambda tensors: tensors.update({"transformer.h.1.mlp.c_fc.weight": torch.ones(128, 32)})),
        "transformer.h.1.mlp.c_fc.weight is [128, 32], but config.json says [32, 128]",
    ),
    "a shorter table of positions": (
        "gpt2",
        config(n_positions=80),
        "transformer.wpe.weight is [64, 32], but config.json says [80, 32]",
    ),
    "whole numbers for weights": (
        "gpt2",
        weights(lambda tensors: tensors.update({"transformer.ln_f.bias": torch.ones(32, dtype=torch.int8)})),
        "transformer.ln_f.bias is of type torch.int8; only fp32, bf16 and fp16",
    ),
    "a missing shard": (
        "shards",
        without("model-00002-of-00005.safetensors"),
        "model-00002-of-00005.safetensors: no such file, but the index names it",
    ),
    "a shard outside the folder": (
        "shards",
        pointing_outside,
        "'../outside.safetensors' is not the name of a safetensors file of the folder",
    ),
    "a broken index": (
        "shards",
        text("model.safetensors.index.json", "[]"),
        "model.safetensors.index.json: not an index of weights",
    ),
    "an empty index": (
        "shards",
        text("model.safetensors.index.json", '{"weight_map": {}}'),
        "its weight_map names no file",
    ),
    "a tokenizer of another model": (
        "llama",
        too_many_tokens,
        "the token '<9>' has the id 320, but the model embeds 320 tokens; take the tokenizer that belongs to",
    ),
    "another head beside a tied embedding": (
        "llama",
        config(tie_word_embeddings=True),
        (
            "model.safetensors: lm_head.weight differs from the embedding, but the model is tied; set"
            " tie_word_embeddings to false in config.json to keep this output"
        ),
    ),
    "no head in an untied model": (
        "llama",
        weights(lambda tensors: tensors.pop("lm_head.weight")),
        "if its output is its embedding, set tie_word_embeddings to true in config.json",
    ),
    "no head and nothing said of it": (
        "llama",
        both(weights(lambda tensors: tensors.pop("lm_head.weight")), config(tie_word_embeddings=None)),
        "tensor 'lm_head.weight' is missing, but the model is not tied",
    ),
    "a tensor in two files": (
        "shards",
        twice,
        "tensor 'lm_head.weight' is in model-00001-of-00005.safetensors too; copy the model again",
    ),
    "a mask that is not causal": (
        "gpt2",
        weights(lambda tensors: tensors.update({"transformer.h.0.attn.bias": torch.ones(1, 1, 64, 64)})),
        "tensor 'transformer.h.0.attn.bias' is unexpected in a gpt2 model",
    ),
    "frequencies of another base": (
        "llama",
        weights(
            lambda tensors: tensors.update(
                {"model.layers.0.self_attn.rotary_emb.inv_freq": 1e6 ** -(torch.arange(0, 8, 2) / 8)}
            )
        ),
        "model.layers.0.self_attn.rotary_emb.inv_freq differs from rope_theta 10000 in config.json",
    ),
    "bases that contradict each other": (
        "llama",
        config(rope_theta=1e6),
        "rope_theta: 10000.0 in rope_parameters, but 1000000.0 in config.json; delete the one",
    ),
    "scalings that contradict each other": (
        "llama",
        config(rope_scaling={"type": "linear", "factor": 2.0}),
        "rope_type: 'default' in rope_parameters, but 'linear' in rope_scaling; delete the one",
    ),
    "an unknown field of a scaling": (
        "llama",
        config(rope_parameters={"rope_type": "linear", "factor": 2.0, "mscale": 2}),
        "rope_parameters: 'mscale' is unknown; readable: factor,",
    ),
    "sizes that contradict each other": (
        "gpt2",
        config(hidden_size=48),
        "n_embd: 32 in config.json, but 48 in its other spelling hidden_size; delete the one",
    ),
    "capped logits": (
        "llama",
        config(final_logit_softcapping=30.0),
        "final_logit_softcapping: 30.0 cannot be read; only a model without it can",
    ),
    "clipped queries": ("olmo", config(clip_qkv=8.0), "clip_qkv: 8.0 cannot be read; only a model without"),
    "layers without positions here and there": (
        "smollm3",
        config(no_rope_layers=[0, 1]),
        "no_rope_layers: only one layer without positions every so many layers can be read",
    ),
    "Mistral's window": (
        "mistral",
        config(sliding_window=32),
        "layers that see only the last 32 tokens cannot be read; import with a context of at most 32",
    ),
    "Phi's long positions": (
        "phi3",
        config(rope_parameters={"rope_type": "longrope", "short_factor": [1.0], "long_factor": [2.0]}),
        "rope_scaling: 'longrope' is unknown",
    ),
    "activations that contradict each other": (
        "gemma",
        config(hidden_activation="silu"),
        "hidden_act: 'gelu_pytorch_tanh', but hidden_activation: 'silu'; delete the wrong one",
    ),
    **{
        f"a model of the family {family}": (
            "llama",
            config(model_type=family),
            f"model_type: '{family}' cannot be read: its {reason}",
        )
        for family, reason in {
            "gemma2": "layers normalise what they give",
            "gemma3_text": "layers normalise what they give",
            "olmo2": "layers normalise what they give",
            "phi": "attention and feed-forward layers stand side by side",
            "mixtral": "feed-forward layers are mixtures of experts",
            "qwen3_moe": "feed-forward layers are mixtures of experts",
            "granite": "embeddings, residuals and logits are multiplied by factors",
        }.items()
    },
    "an added token of another id": (
        "llama",
        text("added_tokens.json", '{"<tool>": 7}'),
        "added_tokens.json: the id 7 of '<tool>' is ",
    ),
    "added tokens after a gap": (
        "llama",
        text("added_tokens.json", '{"<more>": 318}'),
        "added_tokens.json: '<more>' has the id 318, but the next free one is 311; copy the tokenizer again",
    ),
    "an added token without an id": (
        "llama",
        text("added_tokens.json", '{"<more>": "318"}'),
        "added_tokens.json: '318' is not the id of a token",
    ),
    "added tokens that contradict each other": (
        "llama",
        both(
            text("added_tokens.json", '{"<more>": 311}'),
            says("tokenizer_config.json", added_tokens_decoder={"311": {"content": "<less>"}}),
        ),
        "added_tokens.json: the id 311 is that of '<more>', but in tokenizer_config.json that of '<less>'",
    ),
    "an end beyond the vocabulary": (
        "gpt2",
        both(without("tokenizer_config.json"), says("generation_config.json", eos_token_id=50256)),
        "config.json: eos_token_id [50256] is not in the tokenizer; say which token ends a text",
    ),
    "an end that is no id": (
        "llama",
        says("generation_config.json", eos_token_id="</s>"),
        "'</s>' is not the id of a token",
    ),
    "an end that the tokenizer lacks": (
        "llama",
        says("tokenizer_config.json", eos_token="</s>"),
        "tokenizer_config.json: eos_token '</s>' is not in tokenizer.json",
    ),
    "no end": (
        "llama",
        both(without("tokenizer_config.json", "generation_config.json"), config(eos_token_id=None)),
        "config.json: eos_token_id is missing; say which token ends a text",
    ),
    "a broken tokenizer": ("llama", text("tokenizer.json", "{}"), "tokenizer.json: not a tokenizer"),
    "no tokenizer": ("llama", without("tokenizer.json"), "tokenizer.json: no such file; let transformers"),
    "SentencePiece alone": (
        "llama",
        lambda folder: (folder / "tokenizer.json").rename(folder / "tokenizer.model"),
        "tokenizer.model: SentencePiece alone cannot be read; let transformers write it: AutoTokenizer",
    ),
    "two broken files for a vocabulary": (
        "gpt2",
        both(without("tokenizer.json"), text("vocab.json", "[]"), text("merges.txt", "a b\n")),
        "vocab.json: not a vocabulary",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_folder_that_cannot_be_read_is_refused(name: str, saved: Path, tmp_path: Path) -> None:
    folder, spoil, message = BAD[name]
    assert message in refusal(saved, tmp_path, folder, spoil)


def test_a_context_beyond_the_models_is_refused(saved: Path) -> None:
    with pytest.raises(InputError, match="context: 65 is more than the model's 64 tokens"):
        import_folder(saved / "llama", context=65)


def test_a_window_as_wide_as_the_context_is_no_window(saved: Path, tmp_path: Path) -> None:
    folder = tmp_path / "qwen2"
    shutil.copytree(saved / "qwen2", folder)
    config(use_sliding_window=True, sliding_window=8, max_window_layers=0)(folder)
    model, _, _ = import_folder(folder, context=8)
    assert model.config.context == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": "all"}, "norm: 'layer' cannot be exported; norm is 'rms' in the qwen3 layout"),
        (
            {"activation": "gelu"},
            "activation: 'gelu' cannot be exported; activation is 'swiglu', 'geglu' or 'relu2'",
        ),
        (
            {"norm": "rms", "bias": "all"},
            "bias: 'all' cannot be exported; feed-forward layers have no bias in the qwen3",
        ),
        (
            {"qk_norm": False, "heads": 3, "head_width": 8},
            "heads: 3 cannot be exported; heads divide the width in the llama layout",
        ),
        ({**LAYOUTS["gpt2"], "norm": "rms"}, "norm: 'rms' cannot be exported; norm is 'layer' in the gpt2"),
        (
            {**LAYOUTS["gpt2"], "activation": "swiglu"},
            "activation: 'swiglu' cannot be exported; activation has no",
        ),
        ({**LAYOUTS["gpt2"], "qk_norm": True}, "qk_norm: True cannot be exported"),
        ({**LAYOUTS["gpt2"], "kv_heads": 2}, "kv_heads: 2 cannot be exported; every head has its own keys"),
        ({**LAYOUTS["gpt2"], "head_width": 16}, "head_width: 16 cannot be exported"),
    ],
)
def test_a_model_that_no_family_can_express_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    tokenizer = tiny_tokenizer()
    with pytest.raises(InputError) as caught:
        export_folder(tmp_path / "new", tiny_model(vocab_size=tokenizer.vocab_size, **changes), tokenizer)
    assert str(caught.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    model = tiny_model(vocab_size=tokenizer.vocab_size)
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(InputError, match="is there already; name a new or an empty folder"):
            export_folder(place, model, tokenizer)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/new: cannot be written \(Not a directory\)"):
        export_folder(tmp_path / "file" / "new", tiny_model(vocab_size=tokenizer.vocab_size), tokenizer)


def test_a_shard_of_no_size_is_refused() -> None:
    with pytest.raises(InputError, match="max_shard_size: must be above 0"):
        ExportConfig(max_shard_size=0)
