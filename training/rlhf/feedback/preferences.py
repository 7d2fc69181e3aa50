"""Comparisons: the one form in which every kind of feedback reaches the reward model.

Torch-free. A ranking becomes all its pairs. Files of them are read in `preference_files`.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol, TypeVar

from training.gpt.errors import InputError

RANDOM = "random"
"""Why a task was asked that nothing but chance brought."""


@dataclass(frozen=True)
class Comparison:
    """One completion chosen over another for the same prompt, or (`tie`) neither over the other.

    The text judged is `prompt + completion`: a completion carries its own leading space. `margin` is how much
    better, in units of reward. `group` names the ranking the pair came from, so that a ranking of K, which
    gives K(K-1)/2 pairs, weighs no more than one pair does. `choice` is why the task was asked: what was
    chosen for being hard says little about the others.
    """

    prompt: str
    chosen: str
    rejected: str
    tie: bool = False
    margin: float = 0.0
    group: str = ""
    annotator: str = ""
    choice: str = RANDOM

    @property
    def unit(self) -> str:
        """What may not be torn apart, neither by the split nor by a batch: the prompt, if there is one."""
        return self.prompt or self.group or self.chosen

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt with each completion."""
        return (self.prompt, self.chosen), (self.prompt, self.rejected)


@dataclass(frozen=True)
class Rating:
    """What one annotator said of one completion by itself: a score from 0 to 1, overall and by criterion.

    `group` names the answer it came from: the ratings of one prompt, group and annotator were given side by
    side, and can be compared.
    """

    prompt: str
    completion: str
    score: float
    criteria: Mapping[str, float] = field(default_factory=dict)
    group: str = ""
    annotator: str = ""
    choice: str = RANDOM

    @property
    def unit(self) -> str:
        """As a comparison's."""
        return self.prompt or self.group or self.completion

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt with its completion."""
        return ((self.prompt, self.completion),)


class TrainingExample(Protocol):
    """Whatever is learned from texts: a comparison, a rating, a demonstration."""

    @property
    def unit(self) -> str:
        """What may not be torn apart."""
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
            )
        )
    return pairs


def at_random(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Those of tasks that came at random, on which figures about people's taste are unbiased; all of them
    where none did."""
    return [pair for pair in comparisons if pair.choice == RANDOM] or list(comparisons)


def split_by_prompt(
    said: Iterable[Example], *, heldout: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """(train, held out) of what people said: about the share `heldout` of the prompts, chosen by hash,
    so that a prompt stays on its side as more is said.

    What has no prompt is split by group or by text, and what shares a text with the held-out side is left out
    of training: nothing held out is ever seen.
    """
    said = list(said)
    shares = {unit: hash_fraction(unit, seed) for unit in {each.unit for each in said}}
    if heldout <= 0 or len(shares) < 2:
        return said, []
    # At least one unit on each side, however few there are.
    first, *_, last = sorted(shares.values())
    limit = min(max(heldout, math.nextafter(first, 1.0)), last)
    kept_back = [each for each in said if shares[each.unit] < limit]
    seen = {text for each in kept_back for text in each.texts}
    train = [each for each in said if shares[each.unit] >= limit and seen.isdisjoint(each.texts)]
    if not train:
        raise InputError(
            "preferences: every pair shares a text with a held-out one; give pairs a prompt, or more texts."
        )
    return train, kept_back


def hash_fraction(unit: str, seed: int) -> float:
    """A number in [0, 1) that depends on nothing but the unit and the seed."""
    digest = hashlib.sha256(f"{seed}\n{unit}".encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
