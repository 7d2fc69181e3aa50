"""Values that PostgreSQL can store as text and JSON."""

import math
from typing import Any


def json_safe(value: Any) -> Any:
    """The value, recursively, without what the database cannot store.

    Floats are rounded to seven digits, about the precision they were computed in. Infinities and NaN become
    None. NUL characters, which models with byte-level tokenizers can write, are removed from text.
    """
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {key: json_safe(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_safe(each) for each in value]
    return value
