r"""Dialogues as one text: turns that begin with `\n\nHuman:` and `\n\nAssistant:`, as training reads them."""

from collections.abc import Mapping, Sequence
from typing import Any

HUMAN, ANSWER = "\n\nHuman:", "\n\nAssistant:"
TURNS = {"system": "", "user": f"{HUMAN} ", "assistant": f"{ANSWER} "}
ROLES = {"system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant"}


def turns(messages: Sequence[Any]) -> list[str]:
    """Each message as it stands in the text; messages have "role" and "content", or "from" and "value"."""
    written = []
    for message in messages:
        given = message if isinstance(message, Mapping) else {}
        role, content = given.get("role", given.get("from")), given.get("content", given.get("value"))
        if not isinstance(role, str) or role not in ROLES or not isinstance(content, str):
            raise ValueError(
                'a dialogue is a list of {"role", "content"}, the roles being system, user and assistant.'
            )
        written.append(TURNS[ROLES[role]] + content)
    return written


def split_dialogue(messages: Sequence[Any]) -> tuple[str, list[str]]:
    """The prompt of a dialogue, up to an assistant's turn, and the assistant's last words if it ends so."""
    written = turns(messages)
    if written and written[-1].startswith(ANSWER):
        return "".join(written[:-1]) + ANSWER, [written[-1].removeprefix(ANSWER)]
    return "".join(written) + ANSWER, []


def answer(value: Any) -> str:
    """What an assistant says next, as it follows the prompt: its own leading space is part of it."""
    if isinstance(value, str):
        return f" {value}"
    text = "".join(turns(value if isinstance(value, list) else [value]))
    if not text.startswith(ANSWER):
        raise ValueError("a sample of a dialogue begins with an assistant's message.")
    return text.removeprefix(ANSWER)


def part(chosen: str, rejected: str) -> tuple[str, str, str]:
    """The prompt that two whole dialogues share, up to an assistant's turn, and what each makes of it.

    Texts that are no dialogues, or share no such turn, have no prompt.
    """
    end, place = 0, chosen.find(ANSWER) if chosen.startswith(HUMAN) else -1
    while place >= 0 and rejected.startswith(chosen[: place + len(ANSWER)]):
        end = place + len(ANSWER)
        place = chosen.find(ANSWER, end)
    return chosen[:end], chosen[end:], rejected[end:]
