"""What a reward model is to learn, of all that people said: pairs, rankings and scores. Torch-free."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from training.gpt.errors import InputError
from training.rlhf.config import AUTO
from training.rlhf.feedback.preferences import Comparison, Rating, split_by_prompt
from training.rlhf.feedback.rankings import Ranking, rebuild_rankings
from training.rlhf.feedback.score_weights import apply_weights, parse_weights, ratings_to_comparisons


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """LossTerm of each kind. A ranking is not among the pairs, unless the loss is of pairs alone."""

    pairs: Sequence[Comparison] = ()
    rankings: Sequence[Ranking] = ()
    ratings: Sequence[Rating] = ()

    @property
    def teaches(self) -> bool:
        """Whether any of it prefers one text to another."""
        return (
            any(not pair.tie and pair.chosen != pair.rejected for pair in self.pairs)
            or any(len(set(ranking.ranks)) > 1 for ranking in self.rankings)
            or len({rating.score for rating in self.ratings}) > 1
        )

    @property
    def all(self) -> Iterator[Comparison | Ranking | Rating]:
        """LossTerm of all kinds."""
        return chain(self.pairs, self.rankings, self.ratings)


@dataclass(frozen=True, kw_only=True)
class FeedbackSplits:
    """Feedback to train on and feedback held out, no prompt on both sides; and what people said on each."""

    train: Feedback
    heldout: Feedback
    comparisons: list[Comparison] = field(default_factory=list)  # of the training side
    heldout_comparisons: list[Comparison] = field(default_factory=list)


def choose(
    comparisons: Iterable[Comparison],
    ratings: Iterable[Rating],
    *,
    loss: str,
    criteria: str,
    heldout: float,
    seed: int,
) -> FeedbackSplits:
    """Split what people said by prompt, and take from each side what the loss learns from.

    The loss `auto` is `pairs`, and `scores` where there are scores and none to compare. With weights of
    `criteria`, ratings are compared by their weighted score, and so are those that were given without
    comparisons; otherwise comparisons stand as they are. Raises InputError where the loss has nothing to
    learn from.
    """
    comparisons, ratings = list(comparisons), list(ratings)
    weights = parse_weights(criteria)
    if weights and not ratings:
        raise InputError("criteria: nothing was scored, so there is nothing to weigh; leave it out")
    ratings = apply_weights(ratings, weights)
    comparisons = _compared(comparisons, ratings, anew=bool(weights))
    if loss == AUTO:
        loss = "scores" if ratings and not comparisons else "pairs"
    said: list[Comparison | Rating] = [*comparisons, *ratings]
    train, kept_back = split_by_prompt(said, heldout=heldout, seed=seed)
    sides = FeedbackSplits(
        train=_lessons(train, loss),
        heldout=_lessons(kept_back, loss),
        comparisons=_comparisons(train),
        heldout_comparisons=_comparisons(kept_back),
    )
    if not sides.train.teaches:
        if "scores" in loss and not ratings:
            raise InputError(f"loss: {loss} needs scores, and nothing was scored; choose pairs or ranking")
        raise InputError("preferences: no comparison prefers one text to another; collect more answers")
    return sides


def _compared(comparisons: list[Comparison], ratings: list[Rating], *, anew: bool) -> list[Comparison]:
    """The comparisons, where the answers that ratings come from are compared by those ratings: all of them
    `anew`, else those that were not compared."""
    from_ratings = ratings_to_comparisons(ratings)
    rated = {_answer(pair) for pair in from_ratings}
    if anew:
        return [pair for pair in comparisons if _answer(pair) not in rated] + from_ratings
    there = {_answer(pair) for pair in comparisons}
    return comparisons + [pair for pair in from_ratings if _answer(pair) not in there]


def _answer(pair: Comparison) -> tuple[str, str, str]:
    return pair.prompt, pair.group, pair.annotator


def _comparisons(said: Iterable[Comparison | Rating]) -> list[Comparison]:
    return [each for each in said if isinstance(each, Comparison)]


def _lessons(said: Sequence[Comparison | Rating], loss: str) -> Feedback:
    pairs = _comparisons(said)
    ratings = [each for each in said if isinstance(each, Rating)]
    if loss == "pairs":
        return Feedback(pairs=pairs)
    if loss == "ranking":
        rankings, rest = rebuild_rankings(pairs)
        return Feedback(pairs=rest, rankings=rankings)
    return Feedback(pairs=pairs if loss == "scores+pairs" else (), ratings=ratings)
