"""Rotary positions in a ``config.json``, in the older spelling (``rope_theta``, ``rope_scaling``), the newer
(``rope_parameters``), or a mixture of both."""

from collections.abc import Mapping
from typing import Any

from training.gpt.config import ModelConfig
from training.gpt.errors import InputError
from training.gpt.huggingface.fields import get_field, merge_field, refuse_unless

_KNOWN = {
    "rope_type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "original_max_position_embeddings",
    "low_freq_factor",
    "high_freq_factor",
}


def read_rotary(
    stored: Mapping[str, Any], *, context: int, head_width: int, base: float, partial: bool
) -> dict[str, Any]:
    """The fields of a ``ModelConfig`` about rotary positions.

    ``context`` is the model's own, ``base`` the family's default; ``partial`` says whether the family turns a
    part of each head where it is configured so. Raises ``InputError`` for what cannot be read, and where two
    spellings contradict each other.
    """
    rotary = _merge(stored)
    values: dict[str, Any] = {"rotary_base": get_field(rotary, "rope_theta", float, base)}
    if partial:
        values["rotary_width"] = int(head_width * get_field(rotary, "partial_rotary_factor", float, 1.0))
    else:
        refuse_unless(rotary, partial_rotary_factor=1.0)
    kind = rotary.get("rope_type", "default")
    # "dynamic" only changes positions beyond the context, which are never used here.
    if kind in {"default", "dynamic"}:
        return values
    if kind not in {"linear", "llama3"}:
        raise InputError(f"rope_scaling: {kind!r} is unknown; readable: default, dynamic, linear, llama3")
    values |= {"rotary_scaling": kind, "rotary_factor": get_field(rotary, "factor", float)}
    if kind == "llama3":
        original = "original_max_position_embeddings"
        merge_field(rotary, original, stored.get(original), where="rope_parameters", other="config.json")
        values |= {
            "rotary_context": get_field(rotary, original, int, context),
            "rotary_long": get_field(rotary, "low_freq_factor", float),
            "rotary_short": get_field(rotary, "high_freq_factor", float),
        }
    return values


def write_rotary(config: ModelConfig) -> dict[str, Any]:
    """The fields of a ``config.json``, in the older spelling, which the newer readers know as well."""
    written: dict[str, Any] = {"rope_theta": config.rotary_base, "rope_scaling": None}
    if config.rotary_width < config.head_width:
        written["partial_rotary_factor"] = config.rotary_width / config.head_width
    if config.rotary_scaling != "none":
        written["rope_scaling"] = {"rope_type": config.rotary_scaling, "factor": config.rotary_factor}
    if config.rotary_scaling == "llama3":
        written["rope_scaling"] |= {
            "original_max_position_embeddings": config.rotary_context,
            "low_freq_factor": config.rotary_long,
            "high_freq_factor": config.rotary_short,
        }
    return written


def _merge(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What all spellings say, by the names of the newer one."""
    merged: dict[str, Any] = {}
    places: dict[str, str] = {}
    for place, name, value in _spelled(stored):
        merge_field(merged, name, value, where=places.get(name, place), other=place)
        places.setdefault(name, place)
    return merged


def _spelled(stored: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Each value that a spelling holds: where, its name in the newer spelling, and the value."""
    found = []
    for place in ("rope_parameters", "rope_scaling"):
        held = stored.get(place)
        if held is None:
            continue
        if not isinstance(held, Mapping) or any(isinstance(each, Mapping) for each in held.values()):
            raise InputError(f"{place}: one set for all layers can be read, and no other")
        for key, value in held.items():
            name = "rope_type" if key == "type" else key
            if name not in _KNOWN and value is not None and _kind(held) in {"default", "linear", "llama3"}:
                raise InputError(f"{place}: {key!r} is unknown; readable: {', '.join(sorted(_KNOWN))}")
            found.append((place, name, value))
    top = ("rope_theta", "partial_rotary_factor")
    return [*found, *(("config.json", name, stored.get(name)) for name in top)]


def _kind(held: Mapping[str, Any]) -> Any:
    return held.get("rope_type") or held.get("type") or "default"
