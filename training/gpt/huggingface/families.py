"""Families of published models: their ``config.json`` as a ``ModelConfig``, and back.

The names and the defaults of the fields are those of the configuration classes of ``transformers``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.gpt.config import ModelConfig
from training.gpt.errors import InputError
from training.gpt.huggingface.fields import get_field, merge_spellings, refuse_unless
from training.gpt.huggingface.rotary import read_rotary, write_rotary


@dataclass(frozen=True, kw_only=True)
class Family:
    """One ``model_type``: its class in ``transformers``, and its defaults."""

    architecture: str
    context: int
    kv_heads: int | None = None  # None: as many as heads
    head_width: int = 0  # 0: width / heads
    norm_eps: float = 1e-6
    rotary_base: float = 10_000.0
    tied: bool = False
    window: int | None = None  # how many tokens back a layer sees; None: all

    @property
    def architectures(self) -> tuple[str, str]:
        """The class with a language model's head, and the one without."""
        stem = self.architecture.removesuffix("LMHeadModel").removesuffix("ForCausalLM")
        return self.architecture, f"{stem}Model"


FAMILIES = {
    "gpt2": Family(architecture="GPT2LMHeadModel", context=1024, tied=True),
    "llama": Family(architecture="LlamaForCausalLM", context=2048),
    "mistral": Family(architecture="MistralForCausalLM", context=131_072, kv_heads=8, window=4096),
    "qwen2": Family(architecture="Qwen2ForCausalLM", context=32_768, kv_heads=32),
    "qwen3": Family(architecture="Qwen3ForCausalLM", context=32_768, kv_heads=32, head_width=128),
    "gemma": Family(architecture="GemmaForCausalLM", context=8192, kv_heads=16, head_width=256, tied=True),
    "phi3": Family(architecture="Phi3ForCausalLM", context=4096, norm_eps=1e-5),
    "olmo": Family(architecture="OlmoForCausalLM", context=2048),
    "smollm3": Family(
        architecture="SmolLM3ForCausalLM", context=32_768, kv_heads=4, rotary_base=2e6, tied=True
    ),
}
"""Families by ``model_type``. SmolLM and SmolLM2 are of the type llama."""

_POST_NORM = "its layers normalise what they give, not only what they read"
_EXPERTS = "its feed-forward layers are mixtures of experts"
_PARALLEL = "its attention and feed-forward layers stand side by side"
_REFUSED = {
    **dict.fromkeys(("gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "gemma4"), _POST_NORM),
    **dict.fromkeys(("olmo2", "olmo3"), _POST_NORM),
    **dict.fromkeys(("phi", "gpt_neox", "gptj", "falcon", "cohere", "cohere2"), _PARALLEL),
    **dict.fromkeys(
        ("mixtral", "phimoe", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss", "llama4", "llama4_text"), _EXPERTS
    ),
    **dict.fromkeys(("deepseek_v2", "deepseek_v3"), _EXPERTS),
    "granite": "its embeddings, residuals and logits are multiplied by factors",
    "bloom": "its positions are slopes added to the attention (ALiBi)",
    "mpt": "its positions are slopes added to the attention (ALiBi)",
    "opt": "its learned positions begin at an offset",
}
"""Why families that people may bring cannot be read."""

_GELUS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "relu2": "relu2",
}
_GATES = {
    "silu": "swiglu",
    "swish": "swiglu",
    "relu": "relu2",
    **{name: "geglu" for name, kind in _GELUS.items() if kind == "gelu_tanh"},
}
"""A gate of relu(z) beside the same z is relu(z) * z = relu(z)^2: this is how the squared ReLU is
exported."""

_SPELLINGS = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
"""Other spellings of fields of gpt2."""

_NEUTRAL: dict[str, float | bool | None] = {
    "attention_multiplier": None,
    "attn_logit_softcapping": None,
    "clip_qkv": None,
    "embedding_multiplier": 1.0,
    "final_logit_softcapping": None,
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
    "residual_multiplier": 1.0,
    "rope_interleaved": False,
    "use_bidirectional_attention": False,
}
"""Fields that change what some models compute, with the value that changes nothing."""


def detect_family(stored: Mapping[str, Any]) -> str:
    """The family that a ``config.json`` names; raise ``InputError`` for one that is not known here."""
    name = stored.get("model_type")
    if name is None and stored.get("architecture") == "gpt":
        raise InputError("architecture: this is a model of this program's own, not a Hugging Face folder")
    if name in _REFUSED:
        raise InputError(f"model_type: {name!r} cannot be read: {_REFUSED[name]}; {_readable()}")
    if name not in FAMILIES:
        raise InputError(f"model_type: {name!r} is unknown; {_readable()}")
    known = FAMILIES[name].architectures
    named = stored.get("architectures") or known
    if not set(named) & set(known):
        raise InputError(f"architectures: {named[0]!r} is unknown; readable: {known[0]}")
    return str(name)


def _readable() -> str:
    return f"readable: {', '.join(FAMILIES)}"


def read_model_config(stored: Mapping[str, Any], *, context: int = 0) -> ModelConfig:
    """The model config that a ``config.json`` describes, its context cut to ``context`` tokens (0:
    unchanged).

    Dropout is left out: it belongs to the past training, not to the model. Raises ``InputError`` naming
    the field that is missing, malformed, contradicted by another spelling, or asks for what the decoder does
    not have.
    """
    family = detect_family(stored)
    if stored.get("quantization_config"):
        raise InputError("quantization_config: quantised weights cannot be read; take the model in bf16")
    refuse_unless(stored, **_NEUTRAL)
    values = _read_gpt2(stored) if family == "gpt2" else _read_llama(stored, family)
    if context > values["context"]:
        raise InputError(f"context: {context} is more than the model's {values['context']} tokens")
    values["context"] = context or values["context"]
    _refuse_windows(stored, family, context=values["context"])
    return ModelConfig(**values)


def write_model_config(config: ModelConfig, family: str) -> dict[str, Any]:
    """The equivalent fields of ``config.json``; raise ``InputError`` naming a value that has no
    equivalent."""
    for name, (met, demand) in _demands(config, family).items():
        if not met:
            raise InputError(
                f"{name}: {getattr(config, name)!r} cannot be exported; {demand} in the {family} layout"
            )
    written = _write_gpt2(config) if family == "gpt2" else _write_llama(config, family)
    return {"architectures": [FAMILIES[family].architectures[0]], "model_type": family, **written}


def choose_family(config: ModelConfig) -> str:
    """The family whose layout matches ``config``, or comes closest."""
    if config.positions == "learned":
        return "gpt2"
    if config.scaled_embedding:
        return "gemma"
    if config.rotary_width < config.head_width:
        return "phi3"
    if config.rotary_skip:
        return "smollm3"
    if config.qk_norm:
        return "qwen3"
    return "qwen2" if config.bias == "qkv" else "llama"


def _demands(config: ModelConfig, family: str) -> dict[str, tuple[bool, str]]:
    """For each field that a family fixes: whether the config agrees, and what the family requires."""
    if family == "gpt2":
        return {
            "norm": (config.norm == "layer", "norm is 'layer'"),
            "activation": (not config.gated, "activation has no gate"),
            "qk_norm": (not config.qk_norm, "queries and keys are not normalised"),
            "kv_heads": (config.kv_heads == config.heads, "every head has its own keys"),
            "head_width": (config.head_width * config.heads == config.width, "heads divide the width"),
            "scaled_embedding": (not config.scaled_embedding, "embeddings are not scaled"),
        }
    demands = {
        "norm": (config.norm == "rms", "norm is 'rms'"),
        "activation": (config.activation in _GATES.values(), "activation is 'swiglu', 'geglu' or 'relu2'"),
        "rotary_width": (
            family == "phi3" or config.rotary_width == config.head_width,
            "rotary positions turn whole heads",
        ),
        "rotary_skip": (family == "smollm3" or not config.rotary_skip, "every layer has positions"),
    }
    if family != "qwen3":
        demands["qk_norm"] = (not config.qk_norm, "queries and keys are not normalised")
    if family == "phi3":
        demands["bias"] = (config.bias == "none", "no layer has a bias")
        demands["rotary_scaling"] = (config.rotary_scaling == "none", "rotary positions are not scaled")
    elif family not in {"llama", "smollm3"}:
        demands["bias"] = (config.bias != "all", "feed-forward layers have no bias")
    if family in {"llama", "phi3", "smollm3"}:
        demands["heads"] = (config.width % config.heads == 0, "heads divide the width")
    return demands


def _read_gpt2(stored: Mapping[str, Any]) -> dict[str, Any]:
    stored = merge_spellings(stored, _SPELLINGS)
    refuse_unless(
        stored, scale_attn_by_inverse_layer_idx=False, scale_attn_weights=True, add_cross_attention=False
    )
    activation = get_field(stored, "activation_function", str, "gelu_new")
    if activation not in _GELUS:
        raise InputError(f"activation_function: {activation!r} is unknown; readable: {', '.join(_GELUS)}")
    return {
        "vocab_size": get_field(stored, "vocab_size", int),
        "context": get_field(stored, "n_positions", int, FAMILIES["gpt2"].context),
        "layers": get_field(stored, "n_layer", int),
        "heads": get_field(stored, "n_head", int),
        "width": get_field(stored, "n_embd", int),
        "hidden": get_field(stored, "n_inner", int, 0),
        "norm": "layer",
        "norm_eps": get_field(stored, "layer_norm_epsilon", float, 1e-5),
        "qk_norm": False,
        "positions": "learned",
        "activation": _GELUS[activation],
        "bias": "all",
        "tied": get_field(stored, "tie_word_embeddings", bool, True),
    }


def _write_gpt2(config: ModelConfig) -> dict[str, Any]:
    names = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu2": "relu2"}
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.context,
        "n_layer": config.layers,
        "n_head": config.heads,
        "n_embd": config.width,
        "n_inner": config.hidden,
        "layer_norm_epsilon": config.norm_eps,
        "activation_function": names[config.activation],
        "tie_word_embeddings": config.tied,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout),
    }


def _read_llama(stored: Mapping[str, Any], family: str) -> dict[str, Any]:
    usual = FAMILIES[family]
    context = get_field(stored, "max_position_embeddings", int, usual.context)
    biased = get_field(stored, "attention_bias", bool, False)
    bias = "attention" if biased else "none"
    if family == "qwen2":
        bias = "qkv"
    elif family == "phi3":
        refuse_unless(stored, attention_bias=False)
    elif family in {"llama", "smollm3"} and get_field(stored, "mlp_bias", bool, False):
        if not biased:
            raise InputError("mlp_bias: biases in feed-forward layers alone cannot be read")
        bias = "all"
    heads, width = (get_field(stored, name, int) for name in ("num_attention_heads", "hidden_size"))
    head_width = get_field(stored, "head_dim", int, usual.head_width)
    # Not the same as null, which stands for as many as heads.
    kv_heads = stored if "num_key_value_heads" in stored else {"num_key_value_heads": usual.kv_heads}
    return {
        "vocab_size": get_field(stored, "vocab_size", int),
        "context": context,
        "layers": get_field(stored, "num_hidden_layers", int),
        "heads": heads,
        "kv_heads": get_field(kv_heads, "num_key_value_heads", int, heads),
        "head_width": head_width,
        "width": width,
        "hidden": get_field(stored, "intermediate_size", int),
        "norm": "layer" if family == "olmo" else "rms",
        "norm_eps": 1e-5 if family == "olmo" else get_field(stored, "rms_norm_eps", float, usual.norm_eps),
        "qk_norm": family == "qwen3",
        "positions": "rotary",
        "activation": _read_gate(stored, family),
        "bias": bias,
        "scaled_embedding": family == "gemma",
        "tied": get_field(stored, "tie_word_embeddings", bool, usual.tied),
        "rotary_skip": _read_rotary_skip(stored) if family == "smollm3" else 0,
        **read_rotary(
            stored,
            context=context,
            head_width=head_width or width // max(heads, 1),
            base=usual.rotary_base,
            partial=family == "phi3",
        ),
    }


def _read_gate(stored: Mapping[str, Any], family: str) -> str:
    """The activation. Gemma's was first published as "gelu", which meant the tanh form."""
    usual = "gelu_pytorch_tanh" if family == "gemma" else "silu"
    gates = {**_GATES, "gelu": "geglu"} if family == "gemma" else _GATES
    names = [get_field(stored, name, str, "") for name in ("hidden_act", "hidden_activation")]
    named = {name: gates.get(name) for name in names if name} or {usual: gates[usual]}
    for name, gate in named.items():
        if gate is None:
            raise InputError(f"hidden_act: {name!r} is unknown; readable: {', '.join(gates)}")
    if len(set(named.values())) > 1:
        raise InputError(
            f"hidden_act: {names[0]!r}, but hidden_activation: {names[1]!r}; delete the wrong one"
        )
    return next(iter(gate for gate in named.values() if gate))


def _read_rotary_skip(stored: Mapping[str, Any]) -> int:
    """Every how many layers one has no positions (0: none has none)."""
    layers = get_field(stored, "num_hidden_layers", int)
    turned = stored.get("no_rope_layers")
    if turned is None:
        interval = get_field(stored, "no_rope_layer_interval", int, 4)
        return interval if 0 < interval <= layers else 0
    for skip in range(layers + 1):
        if turned == [int(not skip or (layer + 1) % skip != 0) for layer in range(layers)]:
            return skip
    raise InputError("no_rope_layers: only one layer without positions every so many layers can be read")


def _write_llama(config: ModelConfig, family: str) -> dict[str, Any]:
    written = {
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_width,
        "hidden_size": config.width,
        "intermediate_size": config.hidden,
        "hidden_act": {"swiglu": "silu", "geglu": "gelu_pytorch_tanh", "relu2": "relu"}[config.activation],
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "attention_dropout": config.dropout,
        **write_rotary(config),
    }
    if family == "qwen2":
        return {**written, "use_sliding_window": False}
    if family == "phi3":
        return written
    if family == "smollm3":
        turned = [int((layer + 1) % config.rotary_skip != 0) for layer in range(config.layers)]
        written |= {"no_rope_layers": turned, "no_rope_layer_interval": config.rotary_skip}
    biases = {"attention_bias": config.bias != "none"}
    if family in {"llama", "smollm3"}:
        biases["mlp_bias"] = config.bias == "all"
    return {**written, **biases}


def _refuse_windows(stored: Mapping[str, Any], family: str, *, context: int) -> None:
    """Refuse sliding-window attention shorter than the context."""
    kinds = stored.get("layer_types") or []
    if set(kinds) - {"full_attention", "sliding_attention"}:
        raise InputError("layer_types: only layers of 'full_attention' can be read")
    usual = FAMILIES[family].window
    if family in {"mistral", "phi3"}:  # null stands for none
        window = get_field(
            stored if "sliding_window" in stored else {"sliding_window": usual},
            "sliding_window",
            int,
            context,
        )
    elif get_field(stored, "use_sliding_window", bool, False):
        window = get_field(stored, "sliding_window", int, context)
        first = get_field(stored, "max_window_layers", int, 0 if family == "smollm3" else 28)
        if "sliding_attention" not in kinds and (
            kinds or first >= get_field(stored, "num_hidden_layers", int)
        ):
            return
    else:
        return
    if window < context:
        raise InputError(
            f"sliding_window: layers that see only the last {window} tokens cannot be read;"
            f" import with a context of at most {window}"
        )
