"""Which feedback each loss learns from."""

import pytest

from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Comparison, Rating, ranking_to_comparisons
from training.rlhf.feedback.splits import FeedbackSplits, split_feedback

RANKED = [
    pair
    for prompt in "pq"
    for pair in ranking_to_comparisons(
        prompt=prompt, completions=list("abc"), ranks=[1, 2, 3], group=f"{prompt}-1"
    )
]
LOOSE = [Comparison("p", "x", "y", margin=1.0)]
RATED = [
    Rating("p", completion, score, {"kind": 1 - score}, group="p-2")
    for completion, score in (("a", 0.25), ("b", 0.75))
]


def of(loss: str, *, criteria: str = "", ratings: list[Rating] = RATED) -> FeedbackSplits:
    return split_feedback([*RANKED, *LOOSE], ratings, loss=loss, criteria=criteria, heldout=0.0, seed=0)


def test_pairs_take_every_comparison_and_those_of_ratings_that_were_not_compared() -> None:
    train = of("pairs").train
    assert (len(train.pairs), train.rankings, train.ratings) == (6 + 1 + 1, (), ())
    assert train.pairs[-1] == Comparison("p", "b", "a", group="p-2")


def test_rankings_leave_the_rest_to_the_pairs() -> None:
    train = of("ranking", ratings=[]).train
    assert [ranking.ranks for ranking in train.rankings] == [(1, 2, 3)] * 2
    assert list(train.pairs) == LOOSE


def test_scores_are_taken_alone_or_with_the_pairs() -> None:
    assert list(of("scores").train.ratings) == RATED
    assert not of("scores").train.pairs
    both = of("scores+pairs").train
    assert list(both.ratings) == RATED
    assert len(both.pairs) == 8


def test_a_comparison_that_came_from_scores_is_not_taken_twice() -> None:
    compared = [*RANKED, *LOOSE, Comparison("p", "b", "a", group="p-2")]
    splits = split_feedback(compared, RATED, loss="pairs", criteria="", heldout=0.0, seed=0)
    assert len(splits.train.pairs) == 8


def test_weights_of_criteria_compare_anew() -> None:
    compared = [*RANKED, Comparison("p", "b", "a", group="p-2")]
    splits = split_feedback(compared, RATED, loss="pairs", criteria="kind=1", heldout=0.0, seed=0)
    assert Comparison("p", "a", "b", group="p-2") in splits.train.pairs
    assert Comparison("p", "b", "a", group="p-2") not in splits.train.pairs
    assert len(splits.train.pairs) == 7


def test_each_split_has_examples_of_its_own_prompts_only() -> None:
    splits = split_feedback([*RANKED, *LOOSE], RATED, loss="scores+pairs", criteria="", heldout=0.5, seed=1)
    prompts = [{each.split_key for each in side.examples} for side in (splits.train, splits.heldout)]
    assert prompts[0].isdisjoint(prompts[1])
    assert prompts[0] | prompts[1] == {"p", "q"}


@pytest.mark.parametrize(
    ("comparisons", "ratings", "loss", "says"),
    [
        ([], [], "pairs", "preferences: no comparison prefers"),
        ([Comparison("p", "a", "b", tie=True)], [], "pairs", "preferences: no comparison prefers"),
        ([Comparison("p", "a", "a")], [], "pairs", "preferences: no comparison prefers"),
        (LOOSE, [], "scores", "loss: scores needs scores, and there are none"),
        ([], RATED[:1], "scores", "preferences: no comparison prefers"),
    ],
)
def test_what_teaches_nothing_is_refused(
    comparisons: list[Comparison], ratings: list[Rating], loss: str, says: str
) -> None:
    with pytest.raises(InputError, match=says):
        split_feedback(comparisons, ratings, loss=loss, criteria="", heldout=0.0, seed=0)


def test_weights_without_scores_are_refused() -> None:
    with pytest.raises(InputError, match="criteria: there are no scores"):
        of("pairs", criteria="kind=1", ratings=[])
