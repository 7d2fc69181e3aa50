"""Families of published models: their ``config.json`` as a ``ModelConfig``, and back.

The names and the defaults of the fields are those of the configuration classes of ``transformers``, the older
spelling of rotary positions (``rope_theta``, ``rope_scaling``) and the newer (``rope_parameters``).
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from training.gpt.config import ModelConfig
from training.gpt.errors import InputError

ARCHITECTURES = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Model"),
    "llama": ("LlamaForCausalLM", "LlamaModel"),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Model"),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Model"),
}
"""Families by ``model_type``, each with the classes of ``transformers`` for it, with a head and without."""

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
_GATES = {"silu": "swiglu", "swish": "swiglu", "relu": "relu2"}
"""A gate of relu(z) beside the same z is relu(z) * z = relu(z)^2: this is how the squared ReLU is
exported."""

_CONTEXTS = {"gpt2": 1024, "llama": 2048, "qwen2": 32768, "qwen3": 32768}

Value = TypeVar("Value", int, float, str, bool)


def detect_family(stored: Mapping[str, Any]) -> str:
    """The family that a ``config.json`` names; raise ``InputError`` for one that is not known here."""
    family = stored.get("model_type")
    if family is None and stored.get("architecture") == "gpt":
        raise InputError("architecture: this is a model of this program's own, not a Hugging Face folder")
    if family not in ARCHITECTURES:
        raise InputError(f"model_type: {family!r} is unknown; readable: {', '.join(ARCHITECTURES)}")
    named = stored.get("architectures") or ARCHITECTURES[family]
    if not set(named) & set(ARCHITECTURES[family]):
        raise InputError(f"architectures: {named[0]!r} is unknown; readable: {ARCHITECTURES[family][0]}")
    return str(family)


def read_model_config(stored: Mapping[str, Any], *, context: int = 0) -> ModelConfig:
    """The model config that a ``config.json`` describes, its context cut to ``context`` tokens (0:
    unchanged).

    Dropout is left out: it belongs to the past training, not to the model. Raises ``InputError`` naming
    the field that is missing, malformed, or asks for what the decoder does not have.
    """
    family = detect_family(stored)
    if stored.get("quantization_config"):
        raise InputError("quantization_config: quantised weights cannot be read; take the model in bf16")
    values = _read_gpt2(stored) if family == "gpt2" else _read_llama(stored, family)
    if context > values["context"]:
        raise InputError(f"context: {context} is more than the model's {values['context']} tokens")
    values["context"] = context or values["context"]
    _refuse_windows(stored, context=values["context"])
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
    return {"architectures": [ARCHITECTURES[family][0]], "model_type": family, **written}


def choose_family(config: ModelConfig) -> str:
    """The family whose layout matches ``config``, or comes closest."""
    if config.positions == "learned":
        return "gpt2"
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
        }
    demands = {
        "norm": (config.norm == "rms", "norm is 'rms'"),
        "activation": (config.activation in _GATES.values(), "activation is 'swiglu' or 'relu2'"),
    }
    if family != "llama":
        demands["bias"] = (config.bias != "all", "feed-forward layers have no bias")
    else:
        demands["heads"] = (config.width % config.heads == 0, "heads divide the width")
    return demands


def _read_gpt2(stored: Mapping[str, Any]) -> dict[str, Any]:
    _refuse(stored, scale_attn_by_inverse_layer_idx=False, scale_attn_weights=True, add_cross_attention=False)
    activation = _get(stored, "activation_function", str, "gelu_new")
    if activation not in _GELUS:
        raise InputError(f"activation_function: {activation!r} is unknown; readable: {', '.join(_GELUS)}")
    return {
        "vocab_size": _get(stored, "vocab_size", int),
        "context": _get(stored, "n_positions", int, _CONTEXTS["gpt2"]),
        "layers": _get(stored, "n_layer", int),
        "heads": _get(stored, "n_head", int),
        "width": _get(stored, "n_embd", int),
        "hidden": _get(stored, "n_inner", int, 0),
        "norm": "layer",
        "norm_eps": _get(stored, "layer_norm_epsilon", float, 1e-5),
        "qk_norm": False,
        "positions": "learned",
        "activation": _GELUS[activation],
        "bias": "all",
        "tied": _get(stored, "tie_word_embeddings", bool, True),
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
    activation = _get(stored, "hidden_act", str, "silu")
    if activation not in _GATES:
        raise InputError(f"hidden_act: {activation!r} is unknown; readable: {', '.join(_GATES)}")
    context = _get(stored, "max_position_embeddings", int, _CONTEXTS[family])
    biased = _get(stored, "attention_bias", bool, False)
    bias = "attention" if biased else "none"
    if family == "qwen2":
        bias = "qkv"
    if family == "llama" and _get(stored, "mlp_bias", bool, False):
        if not biased:
            raise InputError("mlp_bias: biases in feed-forward layers alone cannot be read")
        bias = "all"
    heads = _get(stored, "num_attention_heads", int)
    return {
        "vocab_size": _get(stored, "vocab_size", int),
        "context": context,
        "layers": _get(stored, "num_hidden_layers", int),
        "heads": heads,
        "kv_heads": _get(stored, "num_key_value_heads", int, heads),
        "head_width": _get(stored, "head_dim", int, 128 if family == "qwen3" else 0),
        "width": _get(stored, "hidden_size", int),
        "hidden": _get(stored, "intermediate_size", int),
        "norm": "rms",
        "norm_eps": _get(stored, "rms_norm_eps", float, 1e-6),
        "qk_norm": family == "qwen3",
        "positions": "rotary",
        "activation": _GATES[activation],
        "bias": bias,
        "tied": _get(stored, "tie_word_embeddings", bool, False),
        **_read_rotary(stored, context=context),
    }


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
        "hidden_act": "silu" if config.gated else "relu",
        "rms_norm_eps": config.norm_eps,
        "tie_word_embeddings": config.tied,
        "attention_dropout": config.dropout,
        # The older spelling, which the newer readers know as well.
        "rope_theta": config.rotary_base,
        "rope_scaling": _write_scaling(config),
    }
    if family == "qwen2":
        return {**written, "use_sliding_window": False}
    biases = {"attention_bias": config.bias != "none"}
    if family == "llama":
        biases["mlp_bias"] = config.bias == "all"
    return {**written, **biases}


def _read_rotary(stored: Mapping[str, Any], *, context: int) -> dict[str, Any]:
    scaling = stored.get("rope_scaling") or stored.get("rope_parameters") or {}
    if not isinstance(scaling, Mapping) or any(isinstance(each, Mapping) for each in scaling.values()):
        raise InputError("rope_parameters: one set for all layers can be read, and no other")
    _refuse(stored, partial_rotary_factor=1.0)
    _refuse(scaling, partial_rotary_factor=1.0)
    base = _get(stored, "rope_theta", float, 10_000.0)
    values: dict[str, Any] = {"rotary_base": _get(scaling, "rope_theta", float, base)}
    kind = scaling.get("rope_type") or scaling.get("type") or "default"
    # "dynamic" only changes positions beyond the context, which are never used here.
    if kind in {"default", "dynamic"}:
        return values
    if kind not in {"linear", "llama3"}:
        raise InputError(f"rope_scaling: {kind!r} is unknown; readable: default, dynamic, linear, llama3")
    values |= {"rotary_scaling": kind, "rotary_factor": _get(scaling, "factor", float)}
    if kind == "llama3":
        values |= {
            "rotary_context": _get(scaling, "original_max_position_embeddings", int, context),
            "rotary_long": _get(scaling, "low_freq_factor", float),
            "rotary_short": _get(scaling, "high_freq_factor", float),
        }
    return values


def _write_scaling(config: ModelConfig) -> dict[str, Any] | None:
    if config.rotary_scaling == "none":
        return None
    scaling: dict[str, Any] = {"rope_type": config.rotary_scaling, "factor": config.rotary_factor}
    if config.rotary_scaling == "llama3":
        scaling |= {
            "original_max_position_embeddings": config.rotary_context,
            "low_freq_factor": config.rotary_long,
            "high_freq_factor": config.rotary_short,
        }
    return scaling


def _refuse_windows(stored: Mapping[str, Any], *, context: int) -> None:
    """Refuse sliding-window attention shorter than the context."""
    kinds = stored.get("layer_types") or []
    if set(kinds) - {"full_attention", "sliding_attention"}:
        raise InputError("layer_types: only layers of 'full_attention' can be read")
    window = _get(stored, "sliding_window", int, context)
    if not _get(stored, "use_sliding_window", bool, False) or window >= context:
        return
    first = _get(stored, "max_window_layers", int, 28)
    if "sliding_attention" in kinds or (not kinds and first < _get(stored, "num_hidden_layers", int)):
        raise InputError(
            f"sliding_window: layers that see only the last {window} tokens cannot be read;"
            f" import with a context of at most {window}"
        )


def _refuse(stored: Mapping[str, Any], **usual: float | bool) -> None:
    for name, value in usual.items():
        found = stored.get(name)
        if found is not None and found != value:
            raise InputError(f"{name}: {found!r} cannot be read; only {value!r} can")


def _get(stored: Mapping[str, Any], name: str, kind: type[Value], default: Value | None = None) -> Value:
    """A field of the kind; where it is missing or null, the default, if there is one."""
    value = stored.get(name)
    if value is None:
        if default is None:
            raise InputError(f"{name}: is missing")
        return default
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"{name}: {value!r} is not of the type {kind.__name__}")
    return value
