"""Preferences from JSON Lines files, gzipped or not; errors name the file and the line. Torch-free.

A line is a comparison, `{"prompt", "chosen", "rejected"}`, or a rating, `{"prompt", "completion", "score"}`;
`"label": true` or `false` in place of a score is 1 or 0. Texts are strings or conversations
(`training.formats.prompt_completions`), and `"messages"` may hold a whole one that is rated. A null counts as
left out.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.formats.prompt_completions import (
    ParsedCompletions,
    find_conversation,
    find_prompt,
    parse_prompt_and_completions,
)
from training.gpt.errors import InputError
from training.rlhf.feedback.json_lines import read_json_lines
from training.rlhf.feedback.preferences import RANDOM, Comparison, Rating

_EXAMPLE = '{"prompt": "...", "chosen": "...", "rejected": "..."}'


def read_preferences(path: str | Path) -> tuple[list[Comparison], list[Rating]]:
    """The comparisons and the ratings of a file; blank lines are skipped.

    A comparison may have `tie`, `margin`, `group`, `annotator` and `choice` (why the task was chosen).
    Without a prompt, two conversations are split at the last assistant's turn up to which they are equal. A
    rating may have `criteria` (scores by name), `group`, `annotator` and `choice`. Scores are from 0 to 1.
    Raises InputError that names the file and the line.
    """
    rows = read_json_lines(path, _parse_row, what="comparison", example=_EXAMPLE)
    return (
        [row for row in rows if isinstance(row, Comparison)],
        [row for row in rows if isinstance(row, Rating)],
    )


def read_dialogues(path: Path) -> list[Comparison]:
    """The comparisons of a file of whole dialogues; pairs of equal dialogues are left out.

    Raises InputError that names the file if there are none, or if a pair shares no answered turn.
    """
    pairs = [pair for pair in read_preferences(path)[0] if pair.chosen != pair.rejected]
    if not pairs or not all(pair.prompt for pair in pairs):
        raise InputError(
            f"{path}: not every line is a pair of dialogues with a common beginning;"
            r" begin both with the same \n\nHuman: … \n\nAssistant:"
        )
    return pairs


def _parse_row(row: Any) -> Comparison | Rating:
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object; write {_EXAMPLE}.")
    row = {name: value for name, value in row.items() if value is not None}
    if "completion" not in row and not {"chosen", "rejected"} & set(row) and {"score", "label"} & set(row):
        _, row["completion"] = find_conversation(row)
    return _parse_rating(row) if row.get("completion") is not None else _parse_comparison(row)


def _parse_comparison(row: Mapping[str, Any]) -> Comparison:
    for name in ("chosen", "rejected"):
        if name not in row:
            raise ValueError(f'no "{name}"; each line needs "prompt", "chosen" and "rejected".')
    prompt, (chosen, rejected) = _parse_texts(row, "chosen", "rejected")
    tie, margin = row.get("tie", False), row.get("margin", 0.0)
    if not isinstance(tie, bool):
        raise ValueError('"tie" is neither true nor false; write one of them, or leave it out.')
    if not _is_number(margin):
        raise ValueError('"margin" is not a finite number; write one, or leave it out.')
    return Comparison(
        prompt.text,
        chosen,
        rejected,
        tie=tie,
        margin=float(margin),
        messages=prompt.messages,
        **_parse_metadata(row),
    )


def _parse_rating(row: Mapping[str, Any]) -> Rating:
    prompt, (completion,) = _parse_texts(row, "completion")
    criteria = row.get("criteria", {})
    if not isinstance(criteria, dict):
        raise ValueError('"criteria" is not an object; write {"name": score}, or leave it out.')
    if isinstance(row.get("label"), bool):
        score = float(row["label"])
    elif "score" in row:
        score = row["score"]
    else:
        raise ValueError('no "score"; a completion needs a score from 0 to 1, or a "label", true or false.')
    for name, value in {"score": score, **criteria}.items():
        if not _is_number(value) or not 0 <= value <= 1:
            raise ValueError(f'"{name}" is {json.dumps(value)}, not a number from 0 to 1; scale it.')
    criteria = {name: float(value) for name, value in criteria.items()}
    return Rating(
        prompt.text,
        completion,
        float(score),
        criteria,
        messages=prompt.messages,
        **_parse_metadata(row),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _parse_metadata(row: Mapping[str, Any]) -> dict[str, str]:
    defaults = {"group": "", "annotator": "", "choice": RANDOM}
    return {name: _parse_string(name, row.get(name, default)) for name, default in defaults.items()}


def _parse_string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f'"{name}" is not a string; write plain text there.')
    return value


def _parse_texts(row: Mapping[str, Any], *names: str) -> ParsedCompletions:
    """The prompt, and for each of these names the text that follows it."""
    name, prompt = find_prompt(row)
    completions = {each: row[each] for each in names}
    return parse_prompt_and_completions(prompt, completions, name=name, row=row)
