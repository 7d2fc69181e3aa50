"""Demonstrations for supervised fine-tuning, from a file or from the best of each ranking. Torch-free."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.formats.conversation import as_prompt, messages_of
from training.formats.messages import Message
from training.formats.prompt_completions import (
    find_conversation,
    find_prompt,
    is_missing,
    parse_prompt_and_completions,
)
from training.rlhf.feedback.json_lines import read_json_lines
from training.rlhf.feedback.preferences import Comparison

_EXAMPLE = '{"prompt": "...", "completion": "..."}'


@dataclass(frozen=True)
class Demonstration:
    """A completion of a prompt as it should be written; it carries its own leading space.

    `messages` are those of the prompt, if it is a conversation: `prompt` is then its text. With `all_turns`,
    what the assistant says earlier in the conversation is learned too.
    """

    prompt: str
    completion: str
    weight: float = 1.0
    messages: tuple[Message, ...] | None = field(default=None, hash=False, repr=False)
    all_turns: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", as_prompt(self.prompt, self.messages))
        object.__setattr__(self, "messages", messages_of(self.prompt))

    @property
    def split_key(self) -> str:
        """Demonstrations with equal keys stay in one split: the prompt, if there is one."""
        return self.prompt or self.completion

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt with its completion."""
        return ((self.prompt, self.completion),)


def demonstrations_from_rankings(comparisons: Iterable[Comparison]) -> list[Demonstration]:
    """The best completions of each ranking: preferred to another one, and no other one preferred to them.

    Several of one ranking share its weight of 1. A ranking that has only ties gives none.
    """
    rankings: dict[tuple[str, str, str], list[Comparison]] = defaultdict(list)
    for number, pair in enumerate(comparisons):
        rankings[pair.prompt, pair.group or f"#{number}", pair.annotator].append(pair)
    demonstrations = []
    for (prompt, _, _), pairs in rankings.items():
        beaten = {pair.rejected for pair in pairs if not pair.tie}
        best = dict.fromkeys(pair.chosen for pair in pairs if not pair.tie and pair.chosen not in beaten)
        demonstrations += [
            Demonstration(prompt, completion, 1 / len(best), pairs[0].messages) for completion in best
        ]
    return demonstrations


def read_demonstrations(path: str | Path) -> list[Demonstration]:
    """The demonstrations of a JSON Lines file; blank lines are skipped.

    Each line is an object with a `completion` and, optionally, a `prompt`, both texts or conversations; or
    with `messages`, a whole conversation whose last turn, the assistant's, is the completion. Of that one, a
    policy with a chat template learns every turn of the assistant. A line may have a `weight` above 0. Raises
    InputError that names the file and the line.
    """
    return read_json_lines(path, _parse_demonstration, what="demonstration", example=_EXAMPLE)


def _parse_demonstration(row: Any) -> Demonstration:
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object; write {_EXAMPLE}.")
    if not is_missing(row.get("completion")):
        name, prompt = find_prompt(row)
        completions = {"completion": row["completion"]}
        found = parse_prompt_and_completions(prompt, completions, name=name, row=row)
    else:
        name, conversation = find_conversation(row)
        if conversation is None:
            raise ValueError(
                '"completion" is empty; write the text to learn.'
                if "completion" in row
                else f'no "completion" and no "messages"; write {_EXAMPLE}.'
            )
        found = parse_prompt_and_completions(None, {name: conversation}, row=row)
    all_turns = is_missing(row.get("completion")) or row.get("all_turns") is True
    weight = 1.0 if row.get("weight") is None else row["weight"]
    if not found.completions[0]:
        raise ValueError("the last message is empty; write the text to learn.")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ValueError('"weight" is not a number above 0; write one, or leave it out.')
    return Demonstration(
        found.prompt.text,
        found.completions[0],
        float(weight),
        found.prompt.messages,
        all_turns=all_turns,
    )
