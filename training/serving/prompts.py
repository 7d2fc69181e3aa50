"""Prompts as token ids: conversations rendered for the model, texts, and ids as they came."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.formats.conversation import Conversation
from training.formats.messages import HUMAN_TURN, Message
from training.gpt.errors import InputError
from training.gpt.tokenizer import Tokenizer
from training.serving.errors import invalid


@dataclass(frozen=True)
class Prompts:
    """What a model is to continue."""

    ids: list[list[int]]  # of each prompt, with the beginning-of-text token
    stops: tuple[str, ...] = ()  # texts that end an answer, besides those of the request
    opening: str = ""  # what stands between the prompt and the content of an answer


def chat_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> Prompts:
    """A conversation that the assistant is to answer.

    Through the chat template, or as plain text for a model without one, whose answer ends where a person
    would speak next. Raises APIError with what the template refuses.
    """
    try:
        ids = tokenizer.prompt(Conversation(messages))
    except InputError as error:
        raise invalid("messages", str(error)) from None
    if tokenizer.chat_template is None:
        return Prompts([ids], stops=(HUMAN_TURN,), opening=" ")
    return Prompts([ids], opening=tokenizer.chat.opening)


def text_prompts(
    tokenizer: Tokenizer, prompts: Sequence[str] | Sequence[list[int]], *, vocab_size: int
) -> Prompts:
    """Texts without any template, or token ids as they came. Raises APIError for an unknown id."""
    ids = []
    for prompt in prompts:
        if isinstance(prompt, str):
            ids.append([tokenizer.bos_id, *tokenizer.encode(prompt)])
            continue
        if unknown := [each for each in prompt if not 0 <= each < vocab_size]:
            raise invalid("prompt", f"{unknown[0]} is no token id; they go from 0 to {vocab_size - 1}.")
        ids.append(prompt)
    return Prompts(ids)
