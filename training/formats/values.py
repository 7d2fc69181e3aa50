"""Single values of a row, whatever container they came in: a table has only texts.

Errors are ValueError and begin with the quoted name of the column.
"""

import ast
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from training.formats.prompt_completions import ParsedPrompt, is_missing

Values = Mapping[str, Any]
Split = Literal["", "train", "heldout"]

MAX_MARGIN = 1e4
"""Margins are in units of reward: a larger one is a mistake, and would end training in infinities."""
YES, NO = {"true", "1", "yes", "1.0"}, {"false", "0", "no", "0.0"}
_SPLIT = re.compile(
    r"(train|training|sft|prefs?|gen)(?:_.*)?\d*|(held_?out|test|validation|valid|val|dev|eval)(?:_.*)?\d*"
)


def first_of(values: Values, *names: str) -> tuple[str, Any]:
    """The first of the columns that has a value, and the value; else the first name, and None."""
    for name in names:  # a loop, as each row is asked many times
        if name in values and not is_missing(values[name]):
            return name, values[name]
    return names[0], None


def present(values: Values, *names: str) -> tuple[str, Any]:
    """As `first_of`, where an empty text is a value too."""
    for name in names:
        if values.get(name) is not None:
            return name, values[name]
    return names[0], None


def shorten(value: Any) -> str:
    """A value as a message quotes it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:39]}…"


def parse_text(name: str, value: Any) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ValueError(f'"{name}" is {shorten(value)}, not a text: write a string.')
    return value


def parse_identity(name: str, value: Any) -> str:
    """The name or number of somebody or something, as a text; empty for null."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f'"{name}" is {shorten(value)}, not a name or a number: write one, or leave it out.')
    return str(value).strip()


def parse_flag(name: str, value: Any) -> bool:
    """True or false, also as 1 or 0; null is false."""
    if value is None or isinstance(value, bool):
        return bool(value)
    text = str(value).strip().lower()
    if text not in YES | NO:
        raise ValueError(
            f'"{name}" is {shorten(value)}, neither true nor false: write one of them, or leave it out.'
        )
    return text in YES


def parse_number(name: str, value: Any) -> float:
    """A finite number."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f'"{name}" is {shorten(value)}, not a finite number: write one, or leave it out.')
    return number


def parse_margin(value: Any) -> float:
    """How much better the chosen one is, in units of reward; null is 0."""
    margin = 0.0 if value is None else parse_number("margin", value)
    if margin < 0:
        raise ValueError(
            '"margin" is below 0: it says how much better the chosen one is; swap the two, or leave it out.'
        )
    if margin > MAX_MARGIN:
        raise ValueError(
            f'"margin" is {shorten(value)}, more than {MAX_MARGIN:,.0f}: scale it, or leave it out.'
        )
    return margin


def parse_split(value: Any) -> Split:
    """The split that a name stands for: `train`, or one of those that are held out of training."""
    if is_missing(value):
        return ""
    name = re.sub(r"[\s.-]+", "_", str(value).strip().lower())
    found = _SPLIT.fullmatch(name)
    if found is None:
        raise ValueError(f'"split" is {shorten(value)}: write train or heldout.')
    return "train" if found[1] else "heldout"


def parse_list(name: str, value: Any) -> list[Any]:
    """A list, also as JSON or Python writes it in a table's cell."""
    value = decode(value)
    if not isinstance(value, list):
        raise ValueError(f'"{name}" is {shorten(value)}, not a list: write one.')
    return value


def decode(value: Any) -> Any:
    """The list or object in a text, such as the cell of a table; any other value as it is."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        pass
    try:
        found = ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return value
    return list(found) if isinstance(found, tuple) else found


def ranks_from_scores(scores: Sequence[float]) -> tuple[int, ...]:
    """The rank of each: 1 for the highest, equal ones tie."""
    levels = sorted(set(scores), reverse=True)
    return tuple(1 + levels.index(score) for score in scores)


def follow(prompt: ParsedPrompt, completions: Iterable[str]) -> list[str]:
    """Answers as they follow a prompt, for formats that keep the two apart: a plain prompt and its answer
    are joined by a space."""
    is_open = prompt.messages is None and prompt.text and not prompt.text[-1].isspace()
    return [f" {text}" if is_open and text and not text[0].isspace() else text for text in completions]
