import pytest

from training.gpt.errors import InputError
from training.rlhf.feedback.preferences import Rating
from training.rlhf.feedback.score_weights import apply_weights, parse_weights, ratings_to_comparisons


def rated(completion: str, score: float, *, group: str = "g", **criteria: float) -> Rating:
    return Rating("p", completion, score, criteria, group=group, annotator="ann")


def test_weights_are_read_from_one_line() -> None:
    assert parse_weights("") == {}
    assert parse_weights("overall=1, kindness = 0.5") == {"overall": 1.0, "kindness": 0.5}
    assert parse_weights("a=b=2") == {"a=b": 2.0}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind", "“kind” is not a weight"),
        ("kind=much", "“kind=much” is not a weight"),
        ("=1", "“=1” is not a weight"),
        ("kind=-1", "is not a weight"),
        ("kind=inf", "is not a weight"),
        ("kind=1,kind=2", "“kind” occurs twice"),
        ("kind=0", "all weights are 0"),
    ],
)
def test_bad_weights_are_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(InputError, match=f"^criteria: .*{says}"):
        parse_weights(text)


def test_the_score_becomes_the_weighted_mean_of_the_criteria() -> None:
    (found,) = apply_weights(
        [rated("a", 0.5, kind=1.0, short=0.0)], {"overall": 1.0, "kind": 3.0, "short": 0.0}
    )
    assert found.score == pytest.approx((0.5 + 3 * 1.0) / 4)
    (same,) = apply_weights([rated("a", 0.5, kind=1.0)], {})
    assert same.score == 0.5


def test_a_criterion_that_nobody_scored_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no score for fun; it has overall, kind"):
        apply_weights([rated("a", 0.5, kind=1.0)], {"fun": 1.0})


def test_ratings_of_one_answer_are_compared_and_others_are_not() -> None:
    pairs = ratings_to_comparisons(
        [
            rated("a", 0.2),
            rated("b", 0.7),
            rated("c", 0.1 + 0.1),  # a tie, but for rounding
            rated("d", 1.0, group="other"),
            rated("e", 0.0, group=""),
        ]
    )
    assert [(pair.chosen, pair.rejected, pair.tie) for pair in pairs] == [
        ("b", "a", False),
        ("a", "c", True),
        ("b", "c", False),
    ]
    assert {(pair.prompt, pair.group, pair.annotator) for pair in pairs} == {("p", "g", "ann")}
