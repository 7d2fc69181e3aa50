"""Prompts as ids, and those of a list that a model can complete."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer, beginning

MAX_NAMED = 3
"""Prompts that a note names; it counts the others."""

Item = TypeVar("Item")


def encode_prompts(model: GPT, tokenizer: Tokenizer, prompts: Sequence[str]) -> list[list[int]]:
    """The ids of prompts; raise ``InputError`` for one that leaves no room in the context, naming it."""
    rows = []
    for number, prompt in enumerate(prompts, start=1):
        try:
            rows.append(prompt_ids(tokenizer, prompt, context=model.config.context))
        except InputError as error:
            name = f"prompt {number}" if len(prompts) > 1 else "prompt"
            raise InputError(f"{name}: {error}") from None
    return rows


def prompt_ids(tokenizer: Tokenizer, prompt: str, *, context: int, room: int = 1) -> list[int]:
    """The ids of a prompt that leaves room for ``room`` more in the context; raise ``InputError`` otherwise.

    The error says how the prompt begins. A chat template may also refuse a conversation.
    """
    ids = tokenizer.prompt(prompt)
    if len(ids) + room <= context:
        return ids
    advice = (
        f"shorten it to at most {context - room} tokens, of which the first only says that a text begins"
        if tokenizer.messages(prompt) is None
        else "leave out its first turns, or take a model with a longer context"
    )
    raise InputError(
        f"{len(ids)} tokens leave no room in a context of {context}; {advice}; it begins"
        f" “{beginning(prompt)}”"
    )


@dataclass(frozen=True)
class SiftedPrompts(Generic[Item]):
    """The prompts of a list that can be completed, and why the others cannot."""

    kept: list[Item]
    left_out: list[str]

    @property
    def notes(self) -> list[str]:
        """A sentence that counts and names the prompts left out; none if there are none."""
        if not self.left_out:
            return []
        count, total = len(self.left_out), len(self.left_out) + len(self.kept)
        named = [f"({number}) {reason}" for number, reason in enumerate(self.left_out[:MAX_NAMED], start=1)]
        more = [f"and {count - MAX_NAMED} more"] if count > MAX_NAMED else []
        were = "was left out, as it" if count == 1 else "were left out, as they"
        return [f"{count} of {total} prompts {were} cannot be completed: {'; '.join([*named, *more])}."]


def sift_prompts(
    tokenizer: Tokenizer,
    items: Iterable[Item],
    *,
    context: int,
    room: int = 1,
    count: int | None = None,
    text: Callable[[Item], str] | None = None,
) -> SiftedPrompts[Item]:
    """Those of the items whose prompt leaves room for ``room`` tokens in the context.

    ``text`` gives the prompt of an item; without it, the items are prompts.

    Done once for a whole list before the first prompt is completed, so that no run ends in its middle. With a
    ``count``, that many are looked for. Raises ``InputError``, naming a prompt, if no item is left.
    """
    sifted: SiftedPrompts[Item] = SiftedPrompts([], [])
    for item in items:
        if count is not None and len(sifted.kept) >= count:
            break
        prompt = item if text is None else text(item)
        assert isinstance(prompt, str)
        try:
            prompt_ids(tokenizer, prompt, context=context, room=room)
        except InputError as error:
            sifted.left_out.append(str(error))
        else:
            sifted.kept.append(item)
    if sifted.left_out and not sifted.kept:
        which = f"none of {len(sifted.left_out)} can be completed; the first: " * (len(sifted.left_out) > 1)
        raise InputError(f"prompts: {which}{sifted.left_out[0]}")
    return sifted
