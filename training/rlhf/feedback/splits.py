"""Training and held-out splits of feedback, in the form that the loss needs. Torch-free."""

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
    """Training examples by kind. The pairs of a ranking are in `pairs` only if the loss is `pairs`."""

    pairs: Sequence[Comparison] = ()
    rankings: Sequence[Ranking] = ()
    ratings: Sequence[Rating] = ()

    @property
    def has_preference(self) -> bool:
        """Whether any example prefers one text to another."""
        return (
            any(not pair.tie and pair.chosen != pair.rejected for pair in self.pairs)
            or any(len(set(ranking.ranks)) > 1 for ranking in self.rankings)
            or len({rating.score for rating in self.ratings}) > 1
        )

    @property
    def examples(self) -> Iterator[Comparison | Ranking | Rating]:
        """Examples of all kinds."""
        return chain(self.pairs, self.rankings, self.ratings)


@dataclass(frozen=True, kw_only=True)
class FeedbackSplits:
    """Feedback for training and feedback held out, no prompt in both, and all comparisons of each split."""

    train: Feedback
    heldout: Feedback
    comparisons: list[Comparison] = field(default_factory=list)  # of the training split
    heldout_comparisons: list[Comparison] = field(default_factory=list)


def split_feedback(
    comparisons: Iterable[Comparison],
    ratings: Iterable[Rating],
    *,
    loss: str,
    criteria: str,
    heldout: float,
    seed: int,
) -> FeedbackSplits:
    """Split feedback by prompt, and select from each split what the loss learns from.

    The loss `auto` is `scores` if there are ratings and nothing to compare, else `pairs`. With weights in
    `criteria`, ratings given side by side are compared by their weighted scores; without, only those that
    have no comparisons of their own are. Raises InputError if the loss has nothing to learn from.
    """
    comparisons, ratings = list(comparisons), list(ratings)
    weights = parse_weights(criteria)
    if weights and not ratings:
        raise InputError("criteria: there are no scores to weight; leave it out")
    ratings = apply_weights(ratings, weights)
    comparisons = _add_rating_comparisons(comparisons, ratings, replace=bool(weights))
    if loss == AUTO:
        loss = "scores" if ratings and not comparisons else "pairs"
    examples: list[Comparison | Rating] = [*comparisons, *ratings]
    train, kept_back = split_by_prompt(examples, heldout=heldout, seed=seed)
    splits = FeedbackSplits(
        train=_feedback_for_loss(train, loss),
        heldout=_feedback_for_loss(kept_back, loss),
        comparisons=_comparisons_in(train),
        heldout_comparisons=_comparisons_in(kept_back),
    )
    if not splits.train.has_preference and "scores" in loss and not ratings:
        raise InputError(f"loss: {loss} needs scores, and there are none; choose pairs or ranking")
    require_preference(
        train=splits.train.has_preference, everywhere=_feedback_for_loss(examples, loss).has_preference
    )
    return splits


def require_preference(*, train: bool, everywhere: bool) -> None:
    """Raise InputError unless the training split prefers a text to another; say so if only the others do."""
    if train:
        return
    if everywhere:
        raise InputError(
            "preferences: what would teach a preference was all held out, as there are too few answers to "
            "split; collect answers to more prompts, or set heldout to 0"
        )
    raise InputError("preferences: no comparison prefers one text to another; collect more answers")


def _add_rating_comparisons(
    comparisons: list[Comparison], ratings: list[Rating], *, replace: bool
) -> list[Comparison]:
    """The comparisons together with those that the ratings give.

    Where an answer has both, those of the ratings count if `replace`, else the others.
    """
    from_ratings = ratings_to_comparisons(ratings)
    if replace:
        rated = {_answer_key(pair) for pair in from_ratings}
        return [pair for pair in comparisons if _answer_key(pair) not in rated] + from_ratings
    compared = {_answer_key(pair) for pair in comparisons}
    return comparisons + [pair for pair in from_ratings if _answer_key(pair) not in compared]


def _answer_key(pair: Comparison) -> tuple[str, str, str]:
    return pair.prompt, pair.group, pair.annotator


def _comparisons_in(examples: Iterable[Comparison | Rating]) -> list[Comparison]:
    return [each for each in examples if isinstance(each, Comparison)]


def _feedback_for_loss(examples: Sequence[Comparison | Rating], loss: str) -> Feedback:
    pairs = _comparisons_in(examples)
    ratings = [each for each in examples if isinstance(each, Rating)]
    if loss == "pairs":
        return Feedback(pairs=pairs)
    if loss == "ranking":
        rankings, rest = rebuild_rankings(pairs)
        return Feedback(pairs=rest, rankings=rankings)
    return Feedback(pairs=pairs if loss == "scores+pairs" else (), ratings=ratings)
