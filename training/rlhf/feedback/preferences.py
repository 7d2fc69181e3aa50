"""Comparisons and ratings: the forms in which feedback reaches training. Torch-free.

A ranking becomes all its pairs. Files are read in `preference_files`.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol, TypeVar

from training.formats.conversation import as_prompt
from training.formats.messages import Message
from training.gpt.errors import InputError

RANDOM = "random"
"""The `choice` of tasks that were picked at random."""


@dataclass(frozen=True)
class Comparison:
    """One completion chosen over another for the same prompt, or (`tie`) neither preferred.

    The text judged is `prompt + completion`: a completion carries its own leading space. `margin` says how
    much better, in units of reward. `group` names the ranking a pair came from, so that a ranking of K, which
    gives K(K-1)/2 pairs, weighs as much as one pair. `choice` says why the task was picked: tasks picked
    because they are hard are not representative of the others. `messages` are those of the prompt, if it is a
    conversation: `prompt` is then its text.
    """

    prompt: str
    chosen: str
    rejected: str
    tie: bool = False
    margin: float = 0.0
    group: str = ""
    annotator: str = ""
    choice: str = RANDOM
    messages: tuple[Message, ...] | None = field(default=None, hash=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", as_prompt(self.prompt, self.messages))

    @property
    def split_key(self) -> str:
        """Comparisons with equal keys stay in one split and one batch: the prompt, if there is one."""
        return self.prompt or self.group or self.chosen

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt with each completion."""
        return (self.prompt, self.chosen), (self.prompt, self.rejected)


@dataclass(frozen=True)
class Rating:
    """One annotator's score of one completion: from 0 to 1, overall and by criterion.

    `group` names the annotation it came from: ratings of one prompt, group and annotator were given side by
    side and can be compared. `messages` are those of the prompt, as for a comparison.
    """

    prompt: str
    completion: str
    score: float
    criteria: Mapping[str, float] = field(default_factory=dict)
    group: str = ""
    annotator: str = ""
    choice: str = RANDOM
    messages: tuple[Message, ...] | None = field(default=None, hash=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt", as_prompt(self.prompt, self.messages))

    @property
    def split_key(self) -> str:
        """As for a comparison."""
        return self.prompt or self.group or self.completion

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt with its completion."""
        return ((self.prompt, self.completion),)


class TrainingExample(Protocol):
    """A comparison, a rating or a demonstration."""

    @property
    def split_key(self) -> str:
        """Examples with equal keys stay in one split."""
        ...

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """Its prompts with their completions."""
        ...


Example = TypeVar("Example", bound=TrainingExample)


def ranking_to_comparisons(
    *,
    prompt: str,
    completions: Sequence[str],
    ranks: Sequence[int],
    group: str = "",
    annotator: str = "",
    choice: str = RANDOM,
    messages: tuple[Message, ...] | None = None,
) -> list[Comparison]:
    """All pairs of one ranking (1 is best, equal ranks are ties), the better completion as `chosen`."""
    if len(completions) != len(ranks):
        raise InputError(f"ranks: {len(ranks)} given for {len(completions)} completions; give one for each.")
    pairs = []
    for i, j in combinations(range(len(ranks)), 2):
        best, worst = (i, j) if ranks[i] <= ranks[j] else (j, i)
        pairs.append(
            Comparison(
                prompt=prompt,
                chosen=completions[best],
                rejected=completions[worst],
                tie=ranks[i] == ranks[j],
                group=group,
                annotator=annotator,
                choice=choice,
                messages=messages,
            )
        )
    return pairs


def from_random_tasks(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of randomly picked tasks, on which metrics are unbiased; all comparisons if there are
    none."""
    return [pair for pair in comparisons if pair.choice == RANDOM] or list(comparisons)


def split_by_prompt(
    examples: Iterable[Example], *, heldout: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """(train, held out): about the fraction `heldout` of the prompts is held out, chosen by hash, so that a
    prompt stays in its split as more examples arrive.

    Examples without a prompt are split by group or text. Training examples that share a text with the
    held-out split are left out: no held-out text is ever trained on.
    """
    examples = list(examples)
    fractions = {key: hash_fraction(key, seed) for key in {example.split_key for example in examples}}
    if heldout <= 0 or len(fractions) < 2:
        return examples, []
    # At least one prompt in each split, however few there are.
    first, *_, last = sorted(fractions.values())
    limit = min(max(heldout, math.nextafter(first, 1.0)), last)
    heldout_examples = [each for each in examples if fractions[each.split_key] < limit]
    heldout_texts = {text for each in heldout_examples for text in each.texts}
    train = [
        each
        for each in examples
        if fractions[each.split_key] >= limit and heldout_texts.isdisjoint(each.texts)
    ]
    if not train:
        raise InputError(
            "preferences: every pair shares a text with a held-out one; give pairs a prompt, or more texts."
        )
    return train, heldout_examples


def hash_fraction(key: str, seed: int) -> float:
    """A number in [0, 1) that depends on the key and the seed only."""
    digest = hashlib.sha256(f"{seed}\n{key}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
