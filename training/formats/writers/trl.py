"""TRL's dataset types: preference, unpaired preference, prompt-completion and prompt-only.

Rows come as comparisons (`chosen`, `rejected`) or completions (`completion`) with a `prompt` text, and with
`messages` if the prompt is a conversation. TRL leaves out the columns that it does not know.
"""

from collections.abc import Mapping
from typing import Any

from training.formats.messages import Message, completion_content

COMPLETIONS = ("chosen", "rejected", "completion")


def conversational_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in TRL's conversational format: the prompt as a list of messages, completions as the assistant's.

    A plain prompt is the user's message.
    """
    completions = {name: [_answer(row[name])] for name in COMPLETIONS if name in row}
    return _without_messages(row) | {"prompt": prompt_messages(row)} | completions


def standard_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row in TRL's standard format, which is plain text: a conversation is its text with turns."""
    return _without_messages(row)


def prompt_messages(row: Mapping[str, Any]) -> list[Message]:
    """The messages of a row's prompt; a plain prompt is the user's message."""
    messages = row.get("messages")
    return messages if messages is not None else [{"role": "user", "content": row["prompt"]}]


def _answer(text: str) -> Message:
    return {"role": "assistant", "content": completion_content(text)}


def _without_messages(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "messages"}
