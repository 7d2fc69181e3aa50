"""Reading the fields of a ``config.json``: their types, their spellings, and those that must be neutral."""

from collections.abc import Mapping
from typing import Any, TypeVar

from training.gpt.errors import InputError

Value = TypeVar("Value", int, float, str, bool)


def get_field(stored: Mapping[str, Any], name: str, kind: type[Value], default: Value | None = None) -> Value:
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


def merge_spellings(stored: Mapping[str, Any], spellings: Mapping[str, str]) -> dict[str, Any]:
    """``stored`` with the value of each other spelling under its usual one; ``spellings`` maps other to
    usual. Raises ``InputError`` where both are there and differ."""
    merged = dict(stored)
    for other, usual in spellings.items():
        value = merged.pop(other, None)
        merge_field(merged, usual, value, where="config.json", other=f"its other spelling {other}")
    return merged


def merge_field(values: dict[str, Any], name: str, value: Any, *, where: str, other: str) -> None:
    """Set a field; raise ``InputError`` if it has another value from ``where`` than it has in ``other``."""
    if value is None:
        return
    before = values.get(name)
    if before is not None and before != value:
        raise InputError(
            f"{name}: {before!r} in {where}, but {value!r} in {other}; delete the one that the model was not"
            " trained with"
        )
    values[name] = value


def refuse_unless(stored: Mapping[str, Any], **usual: float | bool | None) -> None:
    """Raise ``InputError`` for a field whose value is neither missing, null nor the usual one."""
    for name, value in usual.items():
        found = stored.get(name)
        if found is not None and found != value:
            demand = "only a model without it can" if value is None else f"only {value!r} can"
            raise InputError(f"{name}: {found!r} cannot be read; {demand}")
