"""Demonstrations for supervised fine-tuning, from a file or from the best of each ranking. Torch-free."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from training.formats.messages import Message
from training.rlhf.feedback.json_lines import read_json_lines
from training.rlhf.feedback.preferences import Comparison

_EXAMPLE = '{"prompt": "...", "completion": "..."}'


@dataclass(frozen=True)
class Demonstration:
    """A completion of a prompt as it should be written; it carries its own leading space.

    `messages` are those of the prompt, if it is a conversation: `prompt` is then its text.
    """

    prompt: str
    completion: str
    weight: float = 1.0
    messages: tuple[Message, ...] | None = field(default=None, hash=False)

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

    Each line is an object with the strings `completion` and, optionally, `prompt`, and a `weight` above 0.
    Raises InputError that names the file and the line.
    """
    return read_json_lines(path, _parse_demonstration, what="demonstration", example=_EXAMPLE)


def _parse_demonstration(row: Any) -> Demonstration:
    if not isinstance(row, dict):
        raise ValueError(f"not a JSON object; write {_EXAMPLE}.")
    if "completion" not in row:
        raise ValueError(f'no "completion"; write {_EXAMPLE}.')
    prompt, completion, weight = row.get("prompt", ""), row["completion"], row.get("weight", 1.0)
    for name, text in (("prompt", prompt), ("completion", completion)):
        if not isinstance(text, str):
            raise ValueError(f'"{name}" is not a string; write plain text there.')
    if not completion:
        raise ValueError('"completion" is empty; write the text to learn.')
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
        raise ValueError('"weight" is not a number above 0; write one, or leave it out.')
    return Demonstration(prompt, completion, float(weight))
