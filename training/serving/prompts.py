"""Prompts as token ids: conversations rendered for the model, texts, and ids as they came."""

from collections.abc import Sequence
from dataclasses import dataclass

from training.formats.messages import HUMAN_TURN, Message, render_messages
from training.gpt.tokenizer import Tokenizer
from training.serving.errors import invalid


@dataclass(frozen=True)
class Prompts:
    """What a model is to continue."""

    ids: list[list[int]]  # of each prompt, with the beginning-of-text token
    stops: tuple[str, ...] = ()  # texts that end an answer, besides those of the request
    strip_space: bool = False  # whether a space stands between the prompt and an answer's content


def chat_prompt(tokenizer: Tokenizer, messages: Sequence[Message]) -> Prompts:
    """A conversation to answer, as plain text; the answer ends where a person would speak next."""
    ids = tokenizer.prompt(render_messages(messages))
    return Prompts([ids], stops=(HUMAN_TURN,), strip_space=True)


def text_prompts(
    tokenizer: Tokenizer, prompts: Sequence[str] | Sequence[list[int]], *, vocab_size: int
) -> Prompts:
    """Texts, or token ids, which are read exactly as they came. Raises APIError for an unknown id."""
    ids = []
    for prompt in prompts:
        if isinstance(prompt, str):
            ids.append(tokenizer.prompt(prompt))
            continue
        if unknown := [each for each in prompt if not 0 <= each < vocab_size]:
            raise invalid("prompt", f"{unknown[0]} is no token id; they go from 0 to {vocab_size - 1}.")
        ids.append(prompt)
    return Prompts(ids)
