"""Parsing a row of a file, in any of the common formats, to a prompt with samples."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labeling.prompts import check_storable
from labeling.setup.imports.row_reader import PROMPT_NAMES, SAMPLE, Row, normalise_name
from training.formats.messages import is_conversation, is_message, parse_messages
from training.formats.prompt_completions import (
    SYSTEM_COLUMNS,
    ParsedPrompt,
    decode_conversation,
    find_conversation,
    find_prompt,
    is_missing,
    parse_prompt_and_completions,
)

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
    prompt: ParsedPrompt
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
    _validate_text(prompt.text)
    if not prompt.text.strip() and not checked:
        raise ValueError("no prompt: name the column prompt, question, instruction or text.")
    answers = [name for name in ("gold_answer", "training_answer") if values.get(name) not in (None, "")]
    if len(answers) > 1:
        raise ValueError("both a gold_answer and a training_answer: a row can have only one.")
    return ParsedRow(
        line=row.line,
        prompt=prompt,
        samples=tuple(checked),
        split=_parse_split(values.get("split")),
        gold=values[answers[0]] if answers else None,
        is_training=answers == ["training_answer"],
        explanation=_validate_text(_require_text("explanation", values.get("explanation") or "")),
        used=frozenset(used.union(answers)),
    )


def _parse_prompt_and_samples(
    values: Mapping[str, Any], used: set[str]
) -> tuple[ParsedPrompt, list[ImportedSample]]:
    """The prompt and the samples of a row; adds the names of the columns read to `used`."""
    name = next((name for name in PROMPT_NAMES if not is_missing(values.get(name))), "prompt")
    prompt = values.get(name)
    found: dict[str, tuple[Any, str]] = {}
    if name == "instruction" and isinstance(prompt, str) and isinstance(more := values.get("input"), str):
        used.add("input")
        prompt = f"{prompt}\n\n{more}" if more else prompt
    if is_missing(prompt):
        name, prompt = find_prompt(values)
    if is_missing(prompt) and any(is_missing(values.get(each)) for each in ("chosen", "rejected")):
        name, prompt = find_conversation(values)
        prompt, answer = _split_last_answer(name, decode_conversation(prompt))
        found |= {name: (answer, "")} if answer else {}
    used.add(name)
    found |= _find_samples(values, used)
    texts = {sample: value for sample, (value, _) in found.items()}
    parsed, completions = parse_prompt_and_completions(prompt, texts, name=name, row=values)
    if parsed.messages is not None:
        used.update({"messages", *SYSTEM_COLUMNS} & set(values))
    generators = [generator for _, generator in found.values()]
    return parsed, [ImportedSample(*each) for each in zip(completions, generators, strict=True)]


def _split_last_answer(name: str, conversation: Any) -> tuple[Any, Any]:
    """A conversation without the assistant's message at its end, and that message, if there is one."""
    if not isinstance(conversation, list):
        return conversation, None
    try:
        messages = parse_messages(conversation)
    except ValueError as error:
        raise ValueError(f'"{name}": {error}') from None
    return (messages[:-1], messages[-1:]) if messages[-1]["role"] == "assistant" else (messages, None)


def _find_samples(values: Mapping[str, Any], used: set[str]) -> dict[str, tuple[Any, str]]:
    """The samples of a row by their names, with their generators, in the order of the columns."""
    found: dict[str, tuple[Any, str]] = {}
    for name, value in values.items():
        if value is None or name in used:
            continue
        numbered = NUMBERED_SAMPLE.fullmatch(name)
        is_single = SINGLE_SAMPLE.fullmatch(name)
        is_list = isinstance(value, list) and not is_conversation(value)
        if isinstance(value, list) and (SAMPLE_LIST.fullmatch(name) or (is_single and is_list)):
            for number, each in enumerate(value, start=1):
                found[f"{name} {number}"] = _find_sample(name, each, values, used)
        elif numbered or is_single or name in {"chosen", "rejected"}:
            suffix = name[numbered.start(1) :] if numbered else ""
            found[name] = _find_sample(name, value, values, used, suffix=suffix)
        else:
            continue
        used.add(name)
    return found


def _find_sample(
    name: str, value: Any, row: Mapping[str, Any], used: set[str], *, suffix: str = ""
) -> tuple[Any, str]:
    """One sample, a text or messages, and its generator; the two may be together in an object."""
    generator = ""
    for source in (f"generator_{suffix}", f"model_{suffix}", f"generator{suffix}", f"model{suffix}",
                   "generator", "model"):  # fmt: skip
        if row.get(source):
            used.add(source)
            generator = generator or _require_text(source, row[source])
    if isinstance(value, Mapping) and not is_message(value):
        inside = {normalise_name(key): each for key, each in value.items()}
        text = next((inside[key] for key in ("text", "body", "content", "completion", "response")
                     if isinstance(inside.get(key), str)), None)  # fmt: skip
        writer = next((inside[key] for key in ("generator", "model", "title") if inside.get(key)), generator)
        return _require_text(name, text), _require_text(name, writer)
    return value, generator


def _require_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: must be a text.")
    return value


def _validate_text(text: str) -> str:
    """Check that a text can be stored and shown."""
    check_storable(text)
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
