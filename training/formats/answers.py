"""The format `answers`: a row for each person and task, with everything that was asked and answered.

An export writes these rows, and an import reads them without loss. Samples, and all that is said about them,
are in the task's own order; the samples are numbered from 1.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from training.formats.writer import Columns

FORMAT = "answers"

ANSWER_COLUMNS: Columns = {
    "task": "int64",
    "kind": "string",
    "origin": "int64",
    "feedback": "string",
    "scale": "int64",
    "prompt": "string",
    "messages": "messages",
    "split": "string",
    "samples": "samples",
    "parameters": "json",
    "choice": "string",
    "usefulness": "double",
    "gold": "json",
    "explanation": "string",
    "annotator": "string",
    "shown_order": "integers",
    "ranks": "integers",
    "best": "int64",
    "scores": "integers",
    "grade": "int64",
    "criteria": "json",
    "text": "string",
    "edited": "int64",
    "all_bad": "bool",
    "skipped": "bool",
    "skip_reason": "string",
    "flagged": "bool",
    "comment": "string",
    "seconds": "double",
    "revision": "int64",
    "guidelines_version": "int64",
    "finished": "string",
    "adjudication": "string",
    "adjudication_note": "string",
}
REQUIRED = frozenset({"task", "feedback", "prompt", "samples", "annotator", "shown_order"})
"""Columns by which the format is recognised; a row has no less."""

MEANINGS: Mapping[str, str] = {
    "task": "the number of the task, in the order of creation",
    "kind": "ordinary, gold, training (shown with its answer) or repeat",
    "origin": "the task of which a gold, training or repeated task is a copy",
    "feedback": "what was asked: pair, rank, best, score or rewrite",
    "scale": "the highest score",
    "prompt": "the prompt; of a conversation, its text with turns",
    "messages": "the prompt as messages, if it is a conversation",
    "split": "train or heldout",
    "samples": "the samples: their text, and the model (version) or person that wrote each",
    "parameters": "the sampling parameters of each sample",
    "choice": "why the task was asked: random, disagreement or closeness",
    "usefulness": "the acquisition score, if it was chosen by one",
    "gold": "the known answer of a gold or training task",
    "explanation": "why it is the right answer",
    "annotator": "who answered",
    "shown_order": "the numbers of the samples in the order shown",
    "ranks": "a rank for each sample; 1 is best, equal ranks are ties",
    "best": "the number of the best sample",
    "scores": "a score for each sample; 1 is worst",
    "grade": "how much better the second sample is, from -3 to 3",
    "criteria": "scores by criterion for each sample, or grades by criterion for a pair",
    "text": "the text that was written",
    "edited": "the number of the sample it was made from",
    "all_bad": "no sample is good enough",
    "skipped": "the task was skipped",
    "skip_reason": "why",
    "flagged": "the annotator flagged the task",
    "comment": "the annotator's comment",
    "seconds": "active time",
    "revision": "the number of the revision, which is the latest",
    "guidelines_version": "the version of the guidelines in force",
    "finished": "when it was answered or skipped (ISO 8601)",
    "adjudication": "final: this answer counts alone; overruled: another one does; kept: all count",
    "adjudication_note": "the reviewer's reason",
}
"""What each column means, for data cards."""


def parse_answer_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it was exported, from any container: cells of tables are texts, and missing values null.

    Raises ValueError that names the column.
    """
    parsed: dict[str, Any] = {}
    for name, kind in ANSWER_COLUMNS.items():
        value = row.get(name)
        try:
            parsed[name] = _parse_cell(name, kind, value)
        except (ValueError, TypeError):
            raise ValueError(f'"{name}" is {str(value)[:40]!r}, which is not {_EXPECTED[kind]}.') from None
    for name in REQUIRED:
        if parsed[name] is None:
            raise ValueError(f'"{name}" is missing: every row of the format answers has it.')
    return parsed


_EXPECTED = {
    "string": "a text",
    "bool": "true or false",
    "int64": "a whole number",
    "double": "a number",
    "integers": "a list of whole numbers",
    "messages": "a list of messages",
    "samples": 'a list of {"text", "model"}',
    "json": "JSON",
}


def _parse_cell(name: str, kind: str, value: Any) -> Any:
    if kind == "string":
        return _parse_text(name, value)
    if value is None or value == "":
        return False if kind == "bool" else None
    parse: Mapping[str, Callable[[Any], Any]] = {
        "bool": _parse_bool,
        "int64": _parse_whole,
        "double": float,
        "integers": lambda each: [_parse_whole(number) for number in _decode(each)],
    }
    return parse.get(kind, _decode)(value)


def _parse_text(name: str, value: Any) -> str | None:
    if value is None:
        return None if name in REQUIRED - {"prompt"} else ""
    return str(value)


def _parse_whole(value: Any) -> int:
    number = float(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _decode(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def _parse_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in {"true", "1"}:
        return True
    if str(value).lower() in {"false", "0"}:
        return False
    raise ValueError
