"""Options: fields of a config dataclass with their help text and limits.

Forms, commands and the API read the same metadata, so that a limit is stated once. Does not import torch.
"""

import math
from collections.abc import Sequence
from dataclasses import field, fields
from typing import Any, TypeVar

from training.gpt.errors import InputError

Value = TypeVar("Value", int, float, str, bool)


def option(
    default: Value,
    help: str,  # noqa: A002 - the word that argparse and Django forms use
    *,
    choices: Sequence[Value] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    strip: bool = True,
) -> Value:
    """Declare a dataclass field with its help text and its limits (inclusive).

    ``strip=False`` tells forms to keep spaces at the ends of a text.
    """
    metadata = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "strip": strip}
    declared: Any = field(default=default, metadata=metadata)
    return declared  # type: ignore[no-any-return]


def check_options(config: Any) -> None:
    """Check every field of a config against its type and limits; ``InputError`` names the first bad one.

    An int is accepted where a float is asked for and stored as one; nothing else is converted.
    """
    for entry in fields(config):
        value, name = getattr(config, entry.name), entry.name
        expected = entry.type
        if expected is float and type(value) is int:
            value = float(value)
            object.__setattr__(config, name, value)
        if isinstance(expected, type) and type(value) is not expected:
            raise InputError(f"{name}: expected {_article(expected)}, not {value!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name}: must be a finite number, not {value}")
        limits = entry.metadata
        if limits.get("choices") is not None and value not in limits["choices"]:
            raise InputError(
                f"{name}: {value!r} is unknown; choose one of {', '.join(map(str, limits['choices']))}"
            )
        if limits.get("minimum") is not None and value < limits["minimum"]:
            raise InputError(f"{name}: must be at least {limits['minimum']}, not {value}")
        if limits.get("maximum") is not None and value > limits["maximum"]:
            raise InputError(f"{name}: must be at most {limits['maximum']}, not {value}")


def _article(kind: type) -> str:
    return {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(
        kind, kind.__name__
    )
