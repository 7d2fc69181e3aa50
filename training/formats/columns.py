"""Rows of no tool: a prompt with samples in numbered columns or lists, and who wrote them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from training.formats.column_names import MODELS, PROMPTS
from training.formats.messages import is_message, parse_messages
from training.formats.prompt_completions import (
    CONVERSATION_COLUMNS,
    SYSTEM_COLUMNS,
    decode_conversation,
    find_conversation,
    parse_prompt_and_completions,
)
from training.formats.records import Record, RecordJudgement, RecordSample
from training.formats.shape import Shape, about
from training.formats.text_rows import normalise_name
from training.formats.trl import CONTROL, PROMPT, control_fields, decode_parts, judged, parse_scale, prompt_of
from training.formats.values import Values, decode, first_of, parse_identity, parse_number, shorten
from training.formats.votes import order, vote

SAMPLE = r"(?:completion|response|sample|answer|output|prediction|candidate|generation)"
SAMPLE_LIST = rf"{SAMPLE}s|items|outputs"
NUMBERED_SAMPLE = rf"{SAMPLE}_?(?:\d{{1,2}}|(?<=_)[a-i])"
VOTES = ("winner", "preference", "preferred", "vote", "comparison", "better", "best")
ORDERS = ("ranks", "ranking", "rank")
SCORES = ("scores", "ratings")
TEXTS = ("text", "body", "content", "answer", "completion", "response", "generation")
WRITER = r"(?:generator|model)(?:_?\d{1,2}|_[a-i])?"
_NUMBERED = re.compile(NUMBERED_SAMPLE)
_LIST = re.compile(SAMPLE_LIST)
_SINGLE = re.compile(SAMPLE)
_SUFFIX = re.compile(rf"{SAMPLE}(_?(?:\d{{1,2}}|[a-i]))")


def parse_samples(number: int, values: Values) -> Iterator[Record]:
    """A prompt and its samples, without their judgement."""
    name, prompt = prompt_of(values)
    found: dict[str, tuple[Any, str]] = {}
    if prompt is None:
        name, prompt = ("text", values["text"]) if "text" in values else find_conversation(values)
        prompt, answer = split_last_answer(name, decode_conversation(decode_parts(prompt)))
        found |= {name: (answer, "")} if answer else {}
    found |= find_samples(values)
    parsed = parse_prompt_and_completions(
        decode_parts(prompt), {key: value for key, (value, _) in found.items()}, name=name, row=values
    )  # fmt: skip
    yield Record(
        row=number,
        prompt=parsed.prompt,
        samples=tuple(
            RecordSample(text=text, generator=writer)
            for text, (_, writer) in zip(parsed.completions, found.values(), strict=True)
        ),
        **about(values),
        **control_fields(values),
    )


def parse_row(number: int, values: Values) -> Iterator[Record]:
    """A prompt and its samples, with the judgement that is in the row."""
    for record in parse_samples(number, values):
        yield replace(record, judgements=tuple(find_judgements(values, list(find_samples(values)))))


def find_judgements(values: Values, names: Sequence[str]) -> Iterator[RecordJudgement]:
    """The judgement in a row: a vote, ranks or scores of its samples."""
    name, said = first_of(values, *VOTES, *ORDERS, *SCORES)
    if said is None:
        name, said = _inside(values)
    if said is None or not names:
        return
    value = decode(said)
    found: RecordJudgement | None = None
    if isinstance(value, list) and len(value) == len(names):
        numbers = [parse_number(name, each) for each in value] if not isinstance(value[0], str) else []
        if name in SCORES and numbers:
            found = RecordJudgement(
                kind="score", scores=tuple(numbers), scale=parse_scale(values.get("scale"))
            )
        elif numbers and min(numbers) in (0, 1) and all(each.is_integer() for each in numbers):
            levels = sorted(set(numbers))
            ranks = tuple(1 + levels.index(each) for each in numbers)
            found = RecordJudgement(kind="pair" if len(names) == 2 else "rank", ranks=ranks)
        elif not numbers:
            found = order(value, names)
    elif name not in SCORES:
        found = vote(str(value), names)
    if found is None:
        raise ValueError(
            f'"{name}" is {shorten(said)}, which says nothing about {", ".join(names)}: '
            f"write the name of the better one, or leave the column out with --columns {name}=."
        )
    yield replace(found, **judged(values))


def _inside(values: Values) -> tuple[str, list[Any] | None]:
    """The ranks or scores that samples in a list have with them."""
    for name, value in values.items():
        items = decode(value) if _LIST.fullmatch(name) else None
        if isinstance(items, list) and items and all(isinstance(each, Mapping) for each in items):
            for inside, taken_as in (("rank", "ranks"), ("score", "scores"), ("rating", "scores")):
                if all(each.get(inside) is not None for each in items):
                    return taken_as, [each[inside] for each in items]
    return "", None


def find_samples(values: Values) -> dict[str, tuple[Any, str]]:
    """The samples of a row by their names, with their generators, in the order of the columns."""
    found: dict[str, tuple[Any, str]] = {}
    for name, value in values.items():
        if _LIST.fullmatch(name) and isinstance(items := decode(value), list):
            for position, each in enumerate(items, start=1):
                found[f"{name} {position}"] = _find_sample(name, each, values, suffix="")
        elif _NUMBERED.fullmatch(name) or _SINGLE.fullmatch(name):
            suffix = match[1] if (match := _SUFFIX.fullmatch(name)) else ""
            found[name] = _find_sample(name, value, values, suffix=suffix)
    return found


def _find_sample(name: str, value: Any, row: Values, *, suffix: str) -> tuple[Any, str]:
    """One sample, a text or messages, and its generator; the two may be together in an object."""
    writers = [f"{each}{suffix}" for each in MODELS] if suffix else []
    generator = parse_identity(*first_of(row, *writers, *MODELS))
    if isinstance(value, Mapping) and not is_message(value):
        inside = {normalise_name(key): each for key, each in value.items()}
        _, text = first_of(
            inside, "text", "body", "content", "answer", "completion", "response", "generation"
        )
        if not isinstance(text, str):
            raise ValueError(f'"{name}" has a sample without a text: write {{"text": "…"}}.')
        _, writer = first_of(inside, "generator", "model", "title")
        return text, parse_identity(name, writer) or generator
    if not isinstance(value, str | list | Mapping):
        raise ValueError(f'"{name}" is {shorten(value)}, not a text: write a string.')
    return decode_parts(value), generator


def split_last_answer(name: str, conversation: Any) -> tuple[Any, Any]:
    """A conversation without the assistant's message at its end, and that message, if there is one."""
    if not isinstance(conversation, list):
        return conversation, None
    try:
        messages = parse_messages(conversation)
    except ValueError as error:
        raise ValueError(f'"{name}": {error}') from None
    return (messages[:-1], messages[-1:]) if messages[-1]["role"] == "assistant" else (messages, None)


SHAPES = (
    Shape(
        format="columns",
        title="a prompt with samples",
        needs={
            "|".join((*PROMPTS, *CONVERSATION_COLUMNS, "text")): "prompt",
            f"{SAMPLE_LIST}|{NUMBERED_SAMPLE}|{SAMPLE}": "sample",
        },
        takes={
            "|".join((*VOTES, *ORDERS)): "which one is better",
            "|".join(SCORES): "scores",
            **PROMPT,
            "|".join(SYSTEM_COLUMNS): "system message",
            WRITER: "model",
            "choice": "why the task was chosen",
            "scale": "scale of the scores",
            **CONTROL,
        },
        parse=parse_row,
    ),
)
