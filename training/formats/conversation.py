"""A prompt that is a conversation: its plain text, which carries its messages along."""

# Prompts are keys and columns everywhere, so a conversation is a text that knows more, not another type.

from collections.abc import Sequence
from typing import Self

from training.formats.messages import Message, render_messages


class Conversation(str):
    """The plain text of a conversation, with its messages.

    What reads text reads a conversation as its text with turns, and needs not know more. A tokenizer with a
    chat template reads the messages. Prompts of equal text are equal.
    """

    __slots__ = ("messages",)
    messages: tuple[Message, ...]

    def __new__(cls, messages: Sequence[Message], text: str | None = None) -> Self:
        """`text` is that of the messages, where it is known already."""
        self = super().__new__(cls, render_messages(messages) if text is None else text)
        self.messages = tuple(messages)
        return self

    def __getnewargs__(self) -> tuple[Sequence[Message], str]:  # type: ignore[override]
        return self.messages, str(self)


def as_prompt(text: str, messages: Sequence[Message] | None) -> str:
    """A prompt from the two that are stored: a `Conversation` if it has messages, else its text."""
    return text if messages is None else Conversation(messages, text)


def messages_of(prompt: str) -> tuple[Message, ...] | None:
    """The messages of a prompt that is a conversation; None for any other text."""
    return prompt.messages if isinstance(prompt, Conversation) else None
