"""Rankings, rebuilt from their pairs, as the choices they are made of (Plackett 1975, Luce 1959). Torch-free.

A ranking is made by choosing the best of all, then the best of what is left, and so on. Items that tie were
put in some order that is not known: the log-likelihood is its mean over all their orders. So a tie of two is
half of each direction, as between two texts alone, and each member of a tied group of g is chosen from each
subset of the group together with everything that ranks below it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Comparison

MAX_TIED = 10  # a group of g has 2^g subsets


class Choice(NamedTuple):
    """One of `first` was taken from `among`, each as likely as the other; items are places in the ranking."""

    first: tuple[int, ...]
    among: tuple[int, ...]
    weight: float


class Ranking(NamedTuple):
    """One person's order of completions to one prompt: ranks from 1 for the best, equal ones tied."""

    prompt: str
    group: str
    annotator: str
    completions: list[str]
    ranks: tuple[int, ...]

    @property
    def unit(self) -> str:
        """As a comparison's."""
        return self.prompt or self.group

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt with each completion."""
        return tuple((self.prompt, completion) for completion in self.completions)


@cache
def choices(ranks: tuple[int, ...]) -> tuple[Choice, ...]:
    """The choices that a ranking is made of, with their weights in the sum that is its loss:
    log sum over `among` of exp r, less the mean of r over `first`.

    Choices from one item alone, which cost nothing, are left out. Raises InputError for more tied items than
    can be taken in all orders.
    """
    found = []
    for rank in sorted(set(ranks)):
        group = [item for item, other in enumerate(ranks) if other == rank]
        below = tuple(item for item, other in enumerate(ranks) if other > rank)
        if len(group) > MAX_TIED:
            raise InputError(
                f"preferences: {len(group)} completions tie in one ranking, more than {MAX_TIED}; "
                "use the loss pairs"
            )
        for size in range(1, len(group) + 1):
            if size + len(below) > 1:
                weight = 1 / math.comb(len(group), size)
                found += [Choice(some, (*some, *below), weight) for some in combinations(group, size)]
    return tuple(found)


def rebuild_rankings(comparisons: Iterable[Comparison]) -> tuple[list[Ranking], list[Comparison]]:
    """Rankings of three or more whose pairs are all there and agree, and the comparisons that make none.

    Two completions are a pair and stay one, with its margin; a ranking has no use for margins.
    """
    answers: defaultdict[tuple[str, str, str], list[Comparison]] = defaultdict(list)
    rest = []
    for pair in comparisons:
        if pair.group:
            answers[pair.prompt, pair.group, pair.annotator].append(pair)
        else:
            rest.append(pair)
    rankings = []
    for pairs in answers.values():
        ranking = _ranking(pairs)
        if ranking:
            rankings.append(ranking)
        else:
            rest += pairs
    return rankings, rest


def _ranking(pairs: Sequence[Comparison]) -> Ranking | None:
    wins = dict.fromkeys((text for pair in pairs for text in (pair.chosen, pair.rejected)), 0)
    for pair in pairs:
        if not pair.tie:
            wins[pair.chosen] += 1
            wins[pair.rejected] -= 1
    levels = sorted(set(wins.values()), reverse=True)
    ranks = {text: 1 + levels.index(count) for text, count in wins.items()}
    complete = len({frozenset((pair.chosen, pair.rejected)) for pair in pairs}) == math.comb(len(ranks), 2)
    agree = all(
        ranks[pair.chosen] == ranks[pair.rejected] if pair.tie else ranks[pair.chosen] < ranks[pair.rejected]
        for pair in pairs
    )
    if len(ranks) < 3 or len(pairs) != math.comb(len(ranks), 2) or not complete or not agree:
        return None
    return Ranking(pairs[0].prompt, pairs[0].group, pairs[0].annotator, list(ranks), tuple(ranks.values()))
