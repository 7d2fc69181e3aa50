"""Parsing a row of a file, in any of the common formats, to a prompt with samples."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labeling.setup.imports import conversations
from labeling.setup.imports.row_reader import PROMPT_NAMES, SAMPLE, Row, normalise_name

MAX_TEXT_LENGTH = 100_000
"""Characters of a prompt or sample."""
MAX_NAME_LENGTH = 150
SAMPLE_LIST = re.compile(rf"{SAMPLE}s|items")
SINGLE_SAMPLE = re.compile(SAMPLE)
NUMBERED_SAMPLE = re.compile(rf"{SAMPLE}_?(\d|(?<=_)[a-i])")
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("heldout", "held_out", "test", "validation", "valid", "dev", "eval"), "heldout"),
}


class ImportedSample(NamedTuple):
    """A sample and its generator; empty: the generator of the file."""

    text: str
    generator: str = ""


@dataclass(frozen=True, kw_only=True)
class ParsedRow:
    """A prompt with its samples."""

    line: int
    prompt: str
    samples: tuple[ImportedSample, ...] = ()
    split: str = ""
    """"train", "heldout", or "" if the row does not say."""
    gold: Any = None
    """The raw expected answer, if the row has one."""
    is_training: bool = False
    """Whether the expected answer is for a training task, not for gold."""
    explanation: str = ""
    used: frozenset[str] = field(default=frozenset(), compare=False)


def parse_row(row: Row) -> ParsedRow:
    """Parse a row; raises ValueError with a message that says what is missing or wrong."""
    values = row.values
    used: set[str] = {"split", "explanation"} & set(values)
    prompt, samples = _parse_prompt_and_samples(values, used)
    checked = [ImportedSample(_validate_text(text), _validate_name(generator)) for text, generator in samples]
    if not prompt.strip() and not checked:
        raise ValueError("no prompt: name the column prompt, question, instruction or text.")
    answers = [name for name in ("gold_answer", "training_answer") if values.get(name) not in (None, "")]
    if len(answers) > 1:
        raise ValueError("both a gold_answer and a training_answer: a row can have only one.")
    return ParsedRow(
        line=row.line,
        prompt=_validate_text(prompt),
        samples=tuple(checked),
        split=_parse_split(values.get("split")),
        gold=values[answers[0]] if answers else None,
        is_training=answers == ["training_answer"],
        explanation=_validate_text(_require_text("explanation", values.get("explanation") or "")),
        used=frozenset(used.union(answers)),
    )


def _parse_prompt_and_samples(values: Mapping[str, Any], used: set[str]) -> tuple[str, list[ImportedSample]]:
    """The prompt and the samples of a row; adds the names of the columns read to `used`."""
    chat = next((name for name in ("conversations", "messages") if isinstance(values.get(name), list)), "")
    name = next((name for name in PROMPT_NAMES if values.get(name) not in (None, "", [])), "")
    if chat and not name:
        used.add(chat)
        prompt, last = conversations.split_conversation(values[chat])
        return prompt, [*map(ImportedSample, last), *_parse_samples(values, used, is_conversation=True)]
    if name and isinstance(values[name], list):
        used.add(name)
        return conversations.split_conversation(values[name])[0], _parse_samples(
            values, used, is_conversation=True
        )
    if name:
        used.add(name)
        prompt = _require_text(name, values[name])
        if name == "instruction" and isinstance(more := values.get("input"), str) and more:
            used.add("input")
            prompt = f"{prompt}\n\n{more}"
        return prompt, _parse_samples(values, used, is_conversation=False)
    pair = [values.get("chosen"), values.get("rejected")]
    if "prompt" not in values and all(pair):
        used.update(("chosen", "rejected"))
        return _split_chosen_rejected(*pair)
    return "", _parse_samples(values, used, is_conversation=False)


def _split_chosen_rejected(chosen: Any, rejected: Any) -> tuple[str, list[ImportedSample]]:
    """Split two whole conversations into their common prompt and two samples."""
    if isinstance(chosen, list) and isinstance(rejected, list):
        shared = 0
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        prompt, _ = conversations.split_conversation(chosen[:shared])
        return prompt, [
            ImportedSample(conversations.render_completion(each[shared:])) for each in (chosen, rejected)
        ]
    prompt, *ends = conversations.split_shared_prompt(
        _require_text("chosen", chosen), _require_text("rejected", rejected)
    )
    return prompt, [ImportedSample(end) for end in ends]


def _parse_samples(
    values: Mapping[str, Any], used: set[str], *, is_conversation: bool
) -> list[ImportedSample]:
    """The samples of a row under any of their names, in the order of the columns."""
    found: list[ImportedSample] = []
    for name, value in values.items():
        if value is None or name in used:
            continue
        numbered = NUMBERED_SAMPLE.fullmatch(name)
        if SAMPLE_LIST.fullmatch(name) and isinstance(value, list):
            found += [
                _parse_sample(name, each, values, used, is_conversation=is_conversation) for each in value
            ]
        elif numbered or SINGLE_SAMPLE.fullmatch(name) or name in {"chosen", "rejected"}:
            suffix = name[numbered.start(1) :] if numbered else ""
            found.append(
                _parse_sample(name, value, values, used, is_conversation=is_conversation, suffix=suffix)
            )
        else:
            continue
        used.add(name)
    return found


def _parse_sample(
    name: str, value: Any, row: Mapping[str, Any], used: set[str], *, is_conversation: bool, suffix: str = ""
) -> ImportedSample:
    """One sample: a text, a message, or an object with the text and its generator."""
    generator = ""
    for source in (f"generator_{suffix}", f"model_{suffix}", f"generator{suffix}", f"model{suffix}",
                   "generator", "model"):  # fmt: skip
        if row.get(source):
            used.add(source)
            generator = generator or _require_text(source, row[source])
    if isinstance(value, Mapping) and not ({"role", "from"} & set(value)):
        inside = {normalise_name(key): each for key, each in value.items()}
        text = next((inside[key] for key in ("text", "body", "content", "completion", "response")
                     if isinstance(inside.get(key), str)), None)  # fmt: skip
        writer = next((inside[key] for key in ("generator", "model", "title") if inside.get(key)), generator)
        return ImportedSample(_require_text(name, text), _require_text(name, writer))
    if is_conversation or not isinstance(value, str):
        if not isinstance(value, str | list | Mapping):
            raise ValueError(f"{name}: must be a text.")
        return ImportedSample(conversations.render_completion(value), generator)
    return ImportedSample(value, generator)


def _require_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: must be a text.")
    return value


def _validate_text(text: str) -> str:
    """Check that a text can be stored and shown."""
    if "\x00" in text:
        raise ValueError("a NUL character: the file is damaged or not a text file.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate): save the file again as UTF-8.") from None
    if len(text) > MAX_TEXT_LENGTH:
        raise ValueError(f"a text of {len(text):,} characters; at most {MAX_TEXT_LENGTH:,} are allowed.")
    return text


def _validate_name(generator: str) -> str:
    name = _validate_text(generator).strip()
    if len(name) > MAX_NAME_LENGTH:
        raise ValueError(
            f"a generator name of {len(name)} characters; at most {MAX_NAME_LENGTH} are allowed."
        )
    return name


def _parse_split(value: Any) -> str:
    if value in (None, ""):
        return ""
    try:
        return SPLITS[normalise_name(value)]
    except KeyError:
        raise ValueError(f"split is “{str(value)[:40]}”; write train or heldout.") from None
