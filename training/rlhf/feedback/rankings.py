"""Rankings, rebuilt from their pairs, as Plackett-Luce choices (Plackett 1975, Luce 1959). Torch-free.

A ranking is a sequence of choices: the best of all items, then the best of the rest, and so on. The order of
tied items is unknown, so the log-likelihood is the mean over all their orders. A tie of two counts half in
each direction, as in a comparison; each item of a tied group is chosen from each subset of the group together
with everything that ranks below it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Comparison

MAX_TIED = 10  # a tied group of g has 2^g subsets


class Choice(NamedTuple):
    """One of `first`, all equally likely, was chosen from `among`; items are indices into the ranking."""

    first: tuple[int, ...]
    among: tuple[int, ...]
    weight: float


class Ranking(NamedTuple):
    """One annotator's ranking of completions of one prompt: 1 is best, equal ranks are ties."""

    prompt: str
    group: str
    annotator: str
    completions: list[str]
    ranks: tuple[int, ...]

    @property
    def split_key(self) -> str:
        """As for a comparison."""
        return self.prompt or self.group

    @property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """The prompt with each completion."""
        return tuple((self.prompt, completion) for completion in self.completions)


@cache
def plackett_luce_choices(ranks: tuple[int, ...]) -> tuple[Choice, ...]:
    """The choices a ranking consists of, with their weights in its loss. The loss of a choice is the log of
    the sum over `among` of exp r, minus the mean of r over `first`.

    Choices from a single item have no loss and are left out. Raises InputError for more than MAX_TIED tied
    items.
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
    """(rankings, rest): groups of three or more completions with a complete, consistent set of pairs become
    rankings; all other comparisons are the rest.

    A group of two completions stays a comparison and keeps its margin; rankings have no margins.
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
