r"""Conversations: lists of messages as the field writes them, and the plain text that a model reads.

A message is `{"role": "user", "content": "Hi"}`; the roles are system, user, assistant and tool. As plain
text, for a model without a chat template, turns begin with `\n\nHuman:` and `\n\nAssistant:` (Bai et al.
2022), after the text of a system message if there is one. Errors are ValueError and say what to do.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant", "tool")


class Message(TypedDict):
    """One turn of a conversation; `content` is plain text."""

    role: Role
    content: str


ROLE_ALIASES: Mapping[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "ipython"), "tool"),
    "function_call": "assistant",
}
"""Names of roles, as OpenAI, ShareGPT, Gemini, Llama and OpenAssistant write them."""
ROLE_KEYS, CONTENT_KEYS = ("role", "from"), ("content", "value", "parts", "text")
TEXT_PARTS = ("text", "input_text", "output_text")

HUMAN_TURN, ASSISTANT_TURN = "\n\nHuman:", "\n\nAssistant:"
TURN_PREFIXES: Mapping[Role, str] = {
    "system": "\n\nSystem: ",
    "user": f"{HUMAN_TURN} ",
    "assistant": f"{ASSISTANT_TURN} ",
    "tool": "\n\nTool: ",
}


def is_message(value: Any) -> bool:
    """Whether a value is an object with a role, and so meant as a message."""
    return isinstance(value, Mapping) and any(value.get(key) is not None for key in ROLE_KEYS)


def is_conversation(value: Any) -> bool:
    """Whether a value is a list that begins with a message, and so meant as a conversation."""
    return isinstance(value, list | tuple) and bool(value) and is_message(value[0])


# -- Parsing ----------------------------------------------------------------------------------------------


def parse_messages(value: Any) -> list[Message]:
    """The messages of a list, whatever names it has for roles and contents.

    Roles are under `role` or `from`; contents under `content`, `value`, `parts` or `text`, as a text or a
    list of text parts, which are joined. A null counts as left out. The tool calls of an assistant are kept
    as text, `<tool_call>…</tool_call>`, as Hermes and Qwen write them. Raises ValueError naming the message.
    """
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, list | tuple):
        raise ValueError('a conversation is a list of messages: write [{"role": "user", "content": "…"}].')
    if not value:
        raise ValueError("the conversation is empty: it needs at least one message.")
    return [_parse_message(message, number) for number, message in enumerate(value, start=1)]


def _parse_message(message: Any, number: int) -> Message:
    if not isinstance(message, Mapping):
        raise ValueError(f'message {number} is not an object: write {{"role": "user", "content": "…"}}.')
    name = next((message[key] for key in ROLE_KEYS if message.get(key) is not None), None)
    if name is None:
        raise ValueError(f'message {number} has no role: give it one of {", ".join(ROLES)} as "role".')
    role = ROLE_ALIASES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise ValueError(
            f"message {number} has the unknown role {_shorten(name)}: use one of {', '.join(ROLES)}."
        )
    given = next((message[key] for key in CONTENT_KEYS if message.get(key) is not None), None)
    where = f"message {number} ({role})"
    if given is None and role != "assistant":
        raise ValueError(f"{where} has no content: write its text, or leave the message out.")
    content = "" if given is None else parse_content(given, where)
    return {"role": role, "content": "\n".join(filter(None, [content, *_write_tool_calls(message)]))}


def parse_content(content: Any, where: str) -> str:
    """The text of a content, which is a text or a list of text parts; errors say `where` it stands."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list | tuple):
        raise ValueError(
            f"the content of {where} is {_shorten(content)}: write a text, or a list of text parts."
        )
    return "".join(_parse_part(part, where) for part in content)


def _parse_part(part: Any, where: str) -> str:
    if isinstance(part, str):
        return part
    kind, text = (part.get("type"), part.get("text")) if isinstance(part, Mapping) else (None, None)
    if kind is not None and kind not in TEXT_PARTS:
        raise ValueError(
            f"{where} has a part of the type {_shorten(kind)}: only text can be used, so leave that part out."
        )
    if not isinstance(text, str):
        raise ValueError(f'a part of {where} has no text: write {{"type": "text", "text": "…"}}.')
    return text


def _write_tool_calls(message: Mapping[str, Any]) -> list[str]:
    """The tool calls of a message, each as text."""
    calls = message.get("tool_calls") or message.get("function_call") or []
    written = []
    for call in calls if isinstance(calls, list | tuple) else [calls]:
        function = call.get("function", call) if isinstance(call, Mapping) else call
        if isinstance(function, Mapping):
            arguments = function.get("arguments")
            with contextlib.suppress(TypeError, ValueError, RecursionError):  # already an object, or not JSON
                arguments = json.loads(arguments)  # type: ignore[arg-type]
            function = {"name": function.get("name"), "arguments": arguments}
        written.append(f"<tool_call>\n{json.dumps(function, ensure_ascii=False)}\n</tool_call>")
    return written


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:39]}…"


def check_prompt(messages: Sequence[Message]) -> list[Message]:
    """The messages of a prompt; raises ValueError unless they end with what is to be answered."""
    if not messages:
        raise ValueError("the conversation is empty: it needs at least one message.")
    if (role := messages[-1]["role"]) not in ("user", "tool"):
        raise ValueError(
            f"the prompt ends with a message of the role {role}: end it with one of the role user."
        )
    if not any(message["content"].strip() for message in messages):
        raise ValueError("the conversation has no text: write what is to be answered.")
    return list(messages)


# -- Dialogues as text ------------------------------------------------------------------------------------

_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_LINE_TURN = re.compile(r"(?:\A\s*|\n[ \t]*)(Human|Assistant):")


def parse_dialogue(text: str) -> list[Message] | None:
    r"""The messages of a text with `Human:` and `Assistant:` turns; None for a text without them.

    Turns begin after a blank line, or on lines of their own in a text without blank lines between them; the
    text may be stripped, and line ends may be `\r\n`. What stands before the first turn is a system message.
    An empty last assistant's turn, which a completion is to fill, is left out.
    """
    messages = parse_turns(text)
    if messages and messages[-1]["role"] == "assistant" and not messages[-1]["content"].strip():
        messages = messages[:-1]
    return messages or None


def parse_turns(text: str) -> list[Message]:
    """As `parse_dialogue`, with an empty last turn; no messages for a text that is not a dialogue."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    marks = list(_TURN.finditer(text))
    if len(marks) == 1 and marks[0].start() == 0:
        lines = list(_LINE_TURN.finditer(text))
        marks = lines if any(mark[1] == "Assistant" for mark in lines) else marks
    speakers = [mark[1] for mark in marks]
    before = text[: marks[0].start()] if marks else ""
    # Text before the first turn is a system message only if a whole exchange follows.
    if not marks or (before and (speakers[0] != "Human" or "Assistant" not in speakers)):
        return []
    messages: list[Message] = [{"role": "system", "content": before}] if before else []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    for mark, end in zip(marks, ends, strict=True):
        role: Role = "user" if mark[1] == "Human" else "assistant"
        messages.append({"role": role, "content": completion_content(text[mark.end() : end])})
    return messages


# -- Rendering --------------------------------------------------------------------------------------------


def render_messages(messages: Sequence[Message]) -> str:
    r"""The plain text of a conversation; one that an assistant is to answer ends in `\n\nAssistant:`."""
    text = "".join(
        message["content"] if index == 0 and message["role"] == "system"
        else TURN_PREFIXES[message["role"]] + message["content"]
        for index, message in enumerate(messages)
    )  # fmt: skip
    return text if messages and messages[-1]["role"] == "assistant" else text + ASSISTANT_TURN


def completion_text(content: str) -> str:
    """How the content of an assistant's message follows the text of its prompt."""
    return f" {content}"


def completion_content(text: str) -> str:
    """The content of the assistant's message in what follows a prompt: without the leading space."""
    return text.removeprefix(" ")
