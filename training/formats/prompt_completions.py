"""A prompt with its completions, each a text, a dialogue as text, or a list of messages.

A completion of a plain prompt follows it exactly. Messages and dialogues are rendered as
`training.formats.messages` does, so that a conversation has the same text however it was written. Errors are
ValueError; they name the column and say what to do.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from training.formats.messages import (
    ASSISTANT_TURN,
    Message,
    check_prompt,
    completion_text,
    is_conversation,
    is_message,
    parse_content,
    parse_dialogue,
    parse_messages,
    parse_turns,
    render_messages,
)

CONVERSATION_COLUMNS = ("messages", "conversations", "conversation")
SYSTEM_COLUMNS = ("system", "system_prompt")
EMPTY: Mapping[str, Any] = {}
_FIRST_TURN = re.compile(r"\s*(Human|Assistant):")
_ASSISTANT = re.compile(r"\s*Assistant:")


class ParsedPrompt(NamedTuple):
    """The text of a prompt, and its messages if it is a conversation."""

    text: str
    messages: tuple[Message, ...] | None = None


class ParsedCompletions(NamedTuple):
    """A prompt with the texts that follow it, in the order given."""

    prompt: ParsedPrompt
    completions: list[str]


def parse_prompt(value: Any, *, name: str = "prompt", row: Mapping[str, Any] = EMPTY) -> ParsedPrompt:
    """A prompt from a text, a dialogue as text, or a list of messages; errors call it `name`.

    A dialogue that ends within an assistant's turn is a text to continue, not a conversation. The `row` may
    have `messages` beside a text, as exports do: they are its conversation if the text is their rendering. A
    `system` prompt in the row is the first message of the conversation.
    """
    return _add_system(_parse_prompt(value, name, row), row)


def parse_prompt_and_completions(
    prompt: Any, completions: Mapping[str, Any], *, name: str = "prompt", row: Mapping[str, Any] = EMPTY
) -> ParsedCompletions:
    """The prompt, and each completion (by the name of its column) as the text that follows it.

    Without a prompt, whole conversations are split: the prompt is what they share, up to an assistant's turn;
    other texts have an empty prompt. A plain prompt beside messages is the user's message. `name` and `row`
    are as for `parse_prompt`; beside the `messages` of a text, completions that are texts are kept exactly.
    """
    values = {column: _parse_value(column, value) for column, value in completions.items()}
    if is_missing(prompt):
        split = _split(values)
        return ParsedCompletions(_add_system(split.prompt, row), split.completions)
    parsed = _parse_prompt(prompt, name, row)
    if parsed.messages is None and any(isinstance(value, list) for value in values.values()):
        if all(_begins_before_answer(value) for value in values.values()):
            whole, texts = _split(values)
            if all(parsed.text.strip() != each["content"].strip() for each in whole.messages or ()):
                raise ValueError(f'"{name}" is in none of the messages of {_join(values)}: keep one of them.')
            return ParsedCompletions(_add_system(whole, row), texts)
        parsed = _as_conversation(parsed)
    is_exact = _messages_beside(prompt, row) is not None
    parsed = _add_system(parsed, row)
    return ParsedCompletions(
        parsed,
        [
            value if is_exact and isinstance(value, str) else _completion(column, value, parsed)
            for column, value in values.items()
        ],
    )


def find_prompt(row: Mapping[str, Any]) -> tuple[str, Any]:
    """The name and value of a row's prompt: its `prompt`, else a conversation that is to be answered.

    The value is None if the row has neither.
    """
    if not is_missing(row.get("prompt")):
        return "prompt", row["prompt"]
    for name in CONVERSATION_COLUMNS:
        value = decode_conversation(row.get(name))
        if is_conversation(value) and _parse_value(name, value)[-1]["role"] != "assistant":  # type: ignore[index]
            return name, value
    return "prompt", None


def find_conversation(row: Mapping[str, Any]) -> tuple[str, Any]:
    """The name and value of a row's whole conversation; the value is None if it has none."""
    return next(
        ((name, row[name]) for name in CONVERSATION_COLUMNS if not is_missing(row.get(name))),
        ("messages", None),
    )


def is_missing(value: Any) -> bool:
    """Whether a row has nothing there: null, an empty text or an empty list."""
    return value is None or value in ("", [])


def decode_conversation(value: Any) -> Any:
    """The list of messages in a JSON text, such as the cell of a table; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            return value
        return decoded if is_conversation(decoded) else value
    return value


def _parse_value(name: str, value: Any) -> str | list[Message]:
    value = decode_conversation(value)
    if isinstance(value, str):
        return value
    if not is_message(value) and not isinstance(value, list):
        raise ValueError(
            f'"{name}" is not a string or a list of messages: it must be a text or a conversation.'
        )
    try:
        return parse_messages(value)
    except ValueError as error:
        raise ValueError(f'"{name}": {error}') from None


def _parse_prompt(value: Any, name: str, row: Mapping[str, Any]) -> ParsedPrompt:
    """As `parse_prompt`, without the row's system prompt."""
    if messages := _messages_beside(value, row):
        return ParsedPrompt(value, messages)
    parsed = _parse_value(name, value)
    turns = parse_dialogue(parsed) if isinstance(parsed, str) else parsed
    if isinstance(parsed, str) and (turns is None or turns[-1]["role"] == "assistant"):
        return ParsedPrompt(parsed)
    try:
        return _prompt_of(turns or [])
    except ValueError as error:
        raise ValueError(f'"{name}": {error}') from None


def _messages_beside(text: Any, row: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """The messages of a row, if the text of its prompt is their rendering."""
    messages = row.get("messages")
    if not isinstance(text, str) or not is_conversation(messages):
        return None
    with contextlib.suppress(ValueError):
        given = check_prompt(parse_messages(messages))
        return tuple(given) if render_messages(given) == text else None
    return None


def _as_conversation(prompt: ParsedPrompt) -> ParsedPrompt:
    """A plain prompt as the user's message; a conversation as it is."""
    return prompt if prompt.messages else _prompt_of([{"role": "user", "content": prompt.text}])


def _add_system(prompt: ParsedPrompt, row: Mapping[str, Any]) -> ParsedPrompt:
    """The prompt with the row's system prompt as its first message, if the row has one."""
    name = next((name for name in SYSTEM_COLUMNS if not is_missing(row.get(name))), None)
    if name is None or not prompt.text.strip():
        return prompt
    messages = _as_conversation(prompt).messages or ()
    system: Message = {"role": "system", "content": parse_content(row[name], f'"{name}"')}
    if messages[0]["role"] != "system":
        return _prompt_of([system, *messages])
    if messages[0] != system:
        raise ValueError(f'"{name}" differs from the system message of the conversation: keep one of them.')
    return prompt


def _prompt_of(messages: Sequence[Message]) -> ParsedPrompt:
    return ParsedPrompt(render_messages(check_prompt(messages)), tuple(messages))


def _begins_before_answer(value: str | list[Message]) -> bool:
    return isinstance(value, list) and value[0]["role"] != "assistant"


def _completion(name: str, value: str | list[Message], prompt: ParsedPrompt) -> str:
    """The text of one completion as it follows the prompt."""
    if isinstance(value, str):
        if prompt.messages is None:
            return value
        if (turns := parse_turns(value)) and turns[0]["role"] == "user":
            return _completion(name, turns, prompt)
        text = value[found.end() :] if (found := _ASSISTANT.match(value)) else value
        return completion_text(text) if text and not text[0].isspace() else text
    asked = list(prompt.messages or ())
    starts = [asked, asked[1:] if asked[0]["role"] == "system" else asked]
    repeated = max((len(start) for start in starts if value[: len(start)] == start), default=0)
    rest = value[repeated:]
    if not rest or rest[0]["role"] != "assistant" or rest[-1]["role"] != "assistant":
        raise ValueError(
            f'"{name}" does not answer its prompt: an assistant message must come next, and be the last.'
        )
    text = render_messages(rest).removeprefix(ASSISTANT_TURN)
    return text if text != completion_text("") else ""  # a turn that was begun, and has no text yet


def _split(values: Mapping[str, str | list[Message]]) -> ParsedCompletions:
    """The prompt that whole conversations share, and what follows it; an empty prompt for plain texts."""
    texts = [value for value in values.values() if isinstance(value, str)]
    if len(texts) == len(values):
        is_dialogue = [_FIRST_TURN.match(text) is not None for text in texts]
        parsed = [parse_turns(text) for text in texts]
        if not any(is_dialogue) and not (texts and all(parsed) and _shared_prompt(parsed)):
            return ParsedCompletions(ParsedPrompt(""), texts)
        conversations = dict(zip(values, parsed, strict=True))
    elif texts:
        raise ValueError(f"{_join(values)}: some are texts and some are messages; write all in one way.")
    else:
        conversations = {name: value for name, value in values.items() if isinstance(value, list)}
    for name, turns in conversations.items():
        if all(turn["role"] != "assistant" for turn in turns):
            raise ValueError(f'"{name}" does not answer anything: it has no turn of the assistant.')
    shared = _shared_prompt(list(conversations.values()))
    if not shared:
        raise ValueError(
            f"{_join(values)}: no prompt, and no common beginning up to an assistant's turn; add a prompt."
            if len(values) > 1
            else f"{_join(values)}: no prompt, and no message before the assistant's; add a prompt."
        )
    prompt = _prompt_of(shared)
    return ParsedCompletions(
        prompt, [_completion(name, each, prompt) for name, each in conversations.items()]
    )


def _shared_prompt(conversations: Sequence[Sequence[Message]]) -> list[Message]:
    """The longest common beginning that the assistant answers in every conversation; empty if none."""
    first = conversations[0]
    for length in range(min(map(len, conversations)) - 1, 0, -1):
        if first[length - 1]["role"] != "assistant" and all(
            turns[length]["role"] == "assistant" and turns[:length] == first[:length]
            for turns in conversations
        ):
            return list(first[:length])
    return []


def _join(names: Iterable[str]) -> str:
    return " and ".join(f'"{name}"' for name in names)
