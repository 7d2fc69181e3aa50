"""Values as PostgreSQL keeps them in text and JSON."""

import math
from typing import Any


def json_safe(value: Any) -> Any:
    """The same value, lists and dicts all through, with what the database refuses mended.

    Floats keep seven digits, about the precision they were computed in; infinities and NaN, which JSON lacks,
    become None. NUL, which a byte-level vocabulary lets a model write, is taken out of text.
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
