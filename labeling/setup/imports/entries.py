"""Entries: what one row of a file brings, whichever of the usual shapes it has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from labeling.setup.imports import conversations
from labeling.setup.imports.rows import PROMPT_NAMES, SAMPLE, Row, named

LONGEST = 100_000
"""Characters of a prompt or a sample."""
LONGEST_NAME = 150
SEVERAL = re.compile(rf"{SAMPLE}s|items")
ONE = re.compile(SAMPLE)
NUMBERED = re.compile(rf"{SAMPLE}_?(\d|(?<=_)[a-i])")
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("heldout", "held_out", "test", "validation", "valid", "dev", "eval"), "heldout"),
}


class Written(NamedTuple):
    """A sample, and who wrote it; empty: whoever wrote the samples of this file."""

    text: str
    generator: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A prompt, with the samples that belong to it."""

    line: int
    prompt: str
    samples: tuple[Written, ...] = ()
    split: str = ""
    """Where the row says it: "train" or "heldout"."""
    gold: Any = None
    """The right answer, as it was written, where the row has one."""
    training: bool = False
    """The right answer is for a training task, not for gold."""
    explanation: str = ""
    used: frozenset[str] = field(default=frozenset(), compare=False)


def entry(row: Row) -> Entry:
    """What a row brings; raises ValueError, in a line that says what is missing or wrong."""
    values = row.values
    used: set[str] = {"split", "explanation"} & set(values)
    prompt, samples = _texts(values, used)
    checked = [Written(_checked(text), _name(generator)) for text, generator in samples]
    if not prompt.strip() and not checked:
        raise ValueError("no prompt; it may be called prompt, question, instruction or text.")
    rights = [name for name in ("gold_answer", "training_answer") if values.get(name) not in (None, "")]
    if len(rights) > 1:
        raise ValueError("a gold_answer and a training_answer; a row is one or the other.")
    return Entry(
        line=row.line,
        prompt=_checked(prompt),
        samples=tuple(checked),
        split=_split(values.get("split")),
        gold=values[rights[0]] if rights else None,
        training=rights == ["training_answer"],
        explanation=_checked(_text("explanation", values.get("explanation") or "")),
        used=frozenset(used.union(rights)),
    )


def _texts(values: Mapping[str, Any], used: set[str]) -> tuple[str, list[Written]]:
    """The prompt and the samples of a row; the names that were read are added to `used`."""
    chat = next((name for name in ("conversations", "messages") if isinstance(values.get(name), list)), "")
    name = next((name for name in PROMPT_NAMES if values.get(name) not in (None, "", [])), "")
    if chat and not name:
        used.add(chat)
        prompt, last = conversations.split_dialogue(values[chat])
        return prompt, [*map(Written, last), *_samples(values, used, dialogue=True)]
    if name and isinstance(values[name], list):
        used.add(name)
        return conversations.split_dialogue(values[name])[0], _samples(values, used, dialogue=True)
    if name:
        used.add(name)
        prompt = _text(name, values[name])
        if name == "instruction" and isinstance(more := values.get("input"), str) and more:
            used.add("input")
            prompt = f"{prompt}\n\n{more}"
        return prompt, _samples(values, used, dialogue=False)
    pair = [values.get("chosen"), values.get("rejected")]
    if "prompt" not in values and all(pair):
        used.update(("chosen", "rejected"))
        return _parted(*pair)
    return "", _samples(values, used, dialogue=False)


def _parted(chosen: Any, rejected: Any) -> tuple[str, list[Written]]:
    """The prompt that two whole dialogues share, and the two ends."""
    if isinstance(chosen, list) and isinstance(rejected, list):
        shared = 0
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        prompt, _ = conversations.split_dialogue(chosen[:shared])
        return prompt, [Written(conversations.answer(each[shared:])) for each in (chosen, rejected)]
    prompt, *ends = conversations.part(_text("chosen", chosen), _text("rejected", rejected))
    return prompt, [Written(end) for end in ends]


def _samples(values: Mapping[str, Any], used: set[str], *, dialogue: bool) -> list[Written]:
    """The samples of a row, however they are named, in the order in which they stand there."""
    found: list[Written] = []
    for name, value in values.items():
        if value is None or name in used:
            continue
        numbered = NUMBERED.fullmatch(name)
        if SEVERAL.fullmatch(name) and isinstance(value, list):
            found += [_sample(name, each, values, used, dialogue=dialogue) for each in value]
        elif numbered or ONE.fullmatch(name) or name in {"chosen", "rejected"}:
            suffix = name[numbered.start(1) :] if numbered else ""
            found.append(_sample(name, value, values, used, dialogue=dialogue, suffix=suffix))
        else:
            continue
        used.add(name)
    return found


def _sample(
    name: str, value: Any, row: Mapping[str, Any], used: set[str], *, dialogue: bool, suffix: str = ""
) -> Written:
    """One sample: a text, a message, or an object with the text and who wrote it."""
    said = ""
    for source in (f"generator_{suffix}", f"model_{suffix}", f"generator{suffix}", f"model{suffix}",
                   "generator", "model"):  # fmt: skip
        if row.get(source):
            used.add(source)
            said = said or _text(source, row[source])
    if isinstance(value, Mapping) and not ({"role", "from"} & set(value)):
        inside = {named(key): each for key, each in value.items()}
        text = next((inside[key] for key in ("text", "body", "content", "completion", "response")
                     if isinstance(inside.get(key), str)), None)  # fmt: skip
        writer = next((inside[key] for key in ("generator", "model", "title") if inside.get(key)), said)
        return Written(_text(name, text), _text(name, writer))
    if dialogue or not isinstance(value, str):
        if not isinstance(value, str | list | Mapping):
            raise ValueError(f"{name}: a text is wanted.")
        return Written(conversations.answer(value), said)
    return Written(value, said)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name}: a text is wanted.")
    return value


def _checked(text: str) -> str:
    """A text that the database can keep and a page can show."""
    if "\x00" in text:
        raise ValueError("a NUL character, which no text holds: is the file damaged, or no text?")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate): write the file again as UTF-8.") from None
    if len(text) > LONGEST:
        raise ValueError(f"a text of {len(text):,} characters; at most {LONGEST:,} are taken.")
    return text


def _name(generator: str) -> str:
    name = _checked(generator).strip()
    if len(name) > LONGEST_NAME:
        raise ValueError(f"a generator's name of {len(name)} characters; at most {LONGEST_NAME} are taken.")
    return name


def _split(value: Any) -> str:
    if value in (None, ""):
        return ""
    try:
        return SPLITS[named(value)]
    except KeyError:
        raise ValueError(f"split is “{str(value)[:40]}”; write train or heldout.") from None
