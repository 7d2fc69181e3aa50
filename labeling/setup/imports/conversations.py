r"""Conversations as text: turns begin with `\n\nHuman:` and `\n\nAssistant:`, as in training."""

from collections.abc import Mapping, Sequence
from typing import Any

HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
TURN_PREFIXES = {"system": "", "user": f"{HUMAN} ", "assistant": f"{ASSISTANT} "}
ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


def render_turns(messages: Sequence[Any]) -> list[str]:
    """Render each message as text; messages have "role" and "content", or "from" and "value"."""
    rendered = []
    for message in messages:
        given = message if isinstance(message, Mapping) else {}
        role, content = given.get("role", given.get("from")), given.get("content", given.get("value"))
        if not isinstance(role, str) or role not in ROLES or not isinstance(content, str):
            raise ValueError(
                'a conversation is a list of {"role", "content"}; roles are system, user and assistant.'
            )
        rendered.append(TURN_PREFIXES[ROLES[role]] + content)
    return rendered


def split_conversation(messages: Sequence[Any]) -> tuple[str, list[str]]:
    """The prompt of a conversation, up to the assistant's turn, and its last completion if it has one."""
    rendered = render_turns(messages)
    if rendered and rendered[-1].startswith(ASSISTANT):
        return "".join(rendered[:-1]) + ASSISTANT, [rendered[-1].removeprefix(ASSISTANT)]
    return "".join(rendered) + ASSISTANT, []


def render_completion(value: Any) -> str:
    """The assistant's completion as it follows the prompt, with its leading space."""
    if isinstance(value, str):
        return f" {value}"
    text = "".join(render_turns(value if isinstance(value, list) else [value]))
    if not text.startswith(ASSISTANT):
        raise ValueError("a sample of a conversation must begin with an assistant's message.")
    return text.removeprefix(ASSISTANT)


def split_shared_prompt(chosen: str, rejected: str) -> tuple[str, str, str]:
    """Split two whole conversations into their common prompt, up to an assistant's turn, and two completions.

    The prompt is empty for texts that are not conversations or share no such turn.
    """
    end, place = 0, chosen.find(ASSISTANT) if chosen.startswith(HUMAN) else -1
    while place >= 0 and rejected.startswith(chosen[: place + len(ASSISTANT)]):
        end = place + len(ASSISTANT)
        place = chosen.find(ASSISTANT, end)
    return chosen[:end], chosen[end:], rejected[end:]
