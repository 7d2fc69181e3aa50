"""OpenAI's files: preferences for fine-tuning, and requests of batches. Its chats are TRL's messages."""

from collections.abc import Iterator, Mapping
from typing import Any

from training.formats.prompt_completions import parse_prompt
from training.formats.records import Record
from training.formats.shape import Shape, about, annotator_of, preferred, record_of
from training.formats.values import Values, decode, parse_identity, shorten


def parse_preference(number: int, values: Values) -> Iterator[Record]:
    """The preferred of two outputs for the same messages."""
    outputs = {name: decode(values[name]) for name in ("preferred_output", "non_preferred_output")}
    yield record_of(
        number,
        values,
        name="input",
        prompt=_messages("input", values["input"]),
        samples=outputs,
        judgements=[preferred(0, annotator=annotator_of(values))],
    )


def parse_batch(number: int, values: Values) -> Iterator[Record]:
    """The messages of a request are a prompt."""
    body = decode(values["body"])
    name = "messages" if isinstance(body, Mapping) and "messages" in body else "input"
    given = body.get(name) if isinstance(body, Mapping) else None
    if given is None:
        raise ValueError('"body" has no messages: only requests of chats can be read.')
    prompt = parse_prompt(given, name="body")
    identity = parse_identity("custom_id", values.get("custom_id"))
    yield Record(row=number, prompt=prompt, **{**about(values), "source_id": identity})


def _messages(name: str, value: Any) -> Any:
    value = decode(value)
    if isinstance(value, Mapping):
        value = value.get("messages")
    if value is None:
        raise ValueError(f'"{name}" is {shorten(value)}: it needs "messages", a list of them.')
    return value


SHAPES = (
    Shape(
        format="openai",
        title="messages with a preferred output and another",
        needs={
            "input": "prompt",
            "preferred_output": "better sample",
            "non_preferred_output": "worse sample",
        },
        parse=parse_preference,
    ),
    Shape(
        format="openai",
        title="requests of a batch",
        needs={"custom_id": "id", "body": "prompt"},
        parse=parse_batch,
    ),
    Shape(
        format="openai",
        title="results of a batch",
        needs={"custom_id": "id", "response": "answer"},
        without="prompt|messages|question|instruction",
        refusal=("results of a batch do not hold the prompts: join both by custom_id, as messages."),
    ),
)
