"""Texts that are longer than the context: what is cut of them, and how much that was.

The texts of one unit (the two sides of a comparison, all completions of a prompt) answer the same prompt, so
its beginning is cut once for all of them, as the longest completion needs. The first token, which begins a
text, is kept. A completion that fills the context by itself loses its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from training.gpt.chat_encoder import Turn


@dataclass(kw_only=True)
class TruncationCounts:
    """How many units (comparisons, demonstrations, prompts) lost something, of how many."""

    units: int = 0
    prompts: int = 0  # whose prompt lost its beginning
    completions: int = 0  # with a completion that lost its end
    left_out: int = 0  # that teach nothing to this tokenizer and context

    def __add__(self, other: "TruncationCounts") -> "TruncationCounts":
        return TruncationCounts(
            units=self.units + other.units,
            prompts=self.prompts + other.prompts,
            completions=self.completions + other.completions,
            left_out=self.left_out + other.left_out,
        )

    def notes(self, units: str, *, context: int, nothing: str) -> list[str]:
        """A sentence for each kind of loss of the `units`; `nothing` says why some teach nothing."""
        fitting = f"to fit the context of {context} tokens"
        found = []
        if self.prompts:
            found.append(
                f"{self.prompts} of {self.units} {units}: the prompt was cut at its beginning {fitting}."
            )
        if self.completions:
            found.append(
                f"{self.completions} of {self.units} {units}: a completion was cut at its end {fitting}."
            )
        if self.left_out:
            found.append(f"{self.left_out} of {self.units} {units} were left out: {nothing}.")
        return found


def fit_turns(turns: Sequence[Turn], context: int, counts: TruncationCounts) -> list[Turn]:
    """The turns of one unit, which have the same prompt, cut to the context; `counts` gets what was cut.

    The last token is only predicted, so a prompt and its completion may be one token longer than the context.
    """
    counts.units += 1
    longest = max(len(turn.completion) for turn in turns)
    room = max(1, context + 1 - longest)
    counts.prompts += any(len(turn.prompt) > room for turn in turns)
    counts.completions += longest > context
    return [
        Turn(
            _without_beginning(turn.prompt, len(turn.prompt) - room),
            turn.completion[:context],
            None if turn.learned is None else turn.learned[:context],
        )
        for turn in turns
    ]


def fit_row(row: Sequence[int], *, prompt: int, context: int, longest: int) -> list[int]:
    """A whole text of which the first `prompt` tokens are its prompt, cut to the context.

    `longest` is the length of the longest text of its unit. The token that ends the text is kept.
    """
    shorter = _without_beginning(row, min(longest - context, prompt - 1))
    return shorter if len(shorter) <= context else [*shorter[: context - 1], shorter[-1]]


def _without_beginning(ids: Sequence[int], count: int) -> list[int]:
    """Without the `count` tokens that follow the first."""
    return [ids[0], *ids[1 + max(0, count) :]]
