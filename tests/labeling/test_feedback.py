"""Kinds of feedback: which answers are valid, what is stored of them, and what they compare."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeling.feedback import (
    KINDS,
    Answer,
    AnswerError,
    Best,
    Feedback,
    Pair,
    Preference,
    Rank,
    Rewrite,
    Score,
    parse_answer,
)
from labeling.text_limits import MAX_TEXT_LENGTH

KIND = Score(scale=5, criteria=("kind",))


@pytest.mark.parametrize(
    ("kind", "answer", "samples"),
    [
        (Pair(), Answer(grade=-3), 2),
        (Pair(), Answer(grade=0), 2),
        (Pair(criteria=("kind",)), Answer(grade=2, criteria=({"kind": -1},)), 2),
        (Rank(), Answer(ranks=(2, 1, 3)), 3),
        (Rank(), Answer(ranks=(1, 1, 1)), 3),
        (Rank(), Answer(ranks=(1, 2)), 2),
        (Best(), Answer(best=1), 2),
        (Best(), Answer(best=9), 9),
        (Score(scale=7), Answer(scores=(7, 1)), 2),
        (Score(scale=5), Answer(scores=(3,)), 1),
        (KIND, Answer(scores=(5, 1), criteria=({"kind": 1}, {"kind": 5})), 2),
    ],
)
def test_an_answer_comes_back_from_what_is_stored_of_it(kind: Feedback, answer: Answer, samples: int) -> None:
    verdicts = kind.verdicts(answer, samples)
    assert len(verdicts) == samples
    assert kind.answer(verdicts) == answer
    assert kind.is_correct(verdicts, verdicts)


@pytest.mark.parametrize(
    ("kind", "answer", "samples", "says"),
    [
        (Pair(), Answer(), 2, "grade: a step from -3"),
        (Pair(), Answer(grade=4), 2, "grade: 4 is not between -3 and 3"),
        (Pair(), Answer(grade=1), 3, "grade: 3 samples were shown"),
        (Pair(), Answer(ranks=(1, 2)), 2, "ranks: this project asks for grade"),
        (Pair(), Answer(grade=1, criteria=({"kind": 1},)), 2, "criteria: must have exactly these"),
        (Pair(criteria=("kind",)), Answer(grade=1), 2, "exactly these: kind"),
        (Pair(criteria=("kind",)), Answer(grade=1, criteria=({"kind": 4},)), 2, "criteria: 4 is not between"),
        (Pair(criteria=("kind",)), Answer(grade=1, criteria=({"kind": 1},) * 2), 2, "one object of grades"),
        (Rank(), Answer(), 3, "ranks: 0 given, but 3 samples"),
        (Rank(), Answer(ranks=(1, 2)), 3, "ranks: 2 given, but 3 samples"),
        (Rank(), Answer(ranks=(0, 1)), 2, "ranks: 0 is not between 1 and 2"),
        (Rank(), Answer(ranks=(1, 2), best=1), 2, "best: this project asks for ranks"),
        (Best(), Answer(), 3, "best: the number of the best sample"),
        (Best(), Answer(best=0), 3, "best: 0 is not between 1 and 3"),
        (Best(), Answer(best=4), 3, "best: 4 is not between 1 and 3"),
        (Best(), Answer(grade=0), 3, "grade: this project asks for best"),
        (KIND, Answer(scores=(1, 2)), 2, "criteria: must have exactly these: kind"),
        (KIND, Answer(scores=(1, 6), criteria=({"kind": 1},) * 2), 2, "scores: 6 is not between 1 and 5"),
        (KIND, Answer(scores=(1,), criteria=({"kind": 1},)), 2, "scores: 1 given, but 2 samples"),
        (KIND, Answer(scores=(1, 2), criteria=({"kind": 1},)), 2, "criteria: 1 given, but 2 samples"),
        (Score(), Answer(scores=(1, 2), text="mine"), 2, "text: this project asks for scores"),
        (Rewrite(), Answer(), 2, "text: write something first"),
        (Rewrite(), Answer(edited=1), 2, "text: write something first"),
        (Rewrite(), Answer(text="mine", edited=3), 2, "edited: 3 is not between 1 and 2"),
        (Rewrite(), Answer(text="mine", ranks=(1, 2)), 2, "ranks: this project asks for text"),
    ],
)
def test_an_invalid_answer_is_refused_in_one_line(
    kind: Feedback, answer: Answer, samples: int, says: str
) -> None:
    with pytest.raises(AnswerError, match=says) as refused:
        kind.verdicts(answer, samples)
    assert "\n" not in str(refused.value)


def preferences(kind: Feedback, answer: Answer, samples: int) -> list[Preference]:
    return list(kind.preferences(kind.verdicts(answer, samples)))


def test_a_graded_pair_has_a_margin_of_a_third_a_step() -> None:
    for grade, margin in ((1, 0.333333), (2, 0.666667), (3, 1.0)):
        assert preferences(Pair(), Answer(grade=grade), 2) == [Preference(1, 0, tie=False, margin=margin)]
        assert preferences(Pair(), Answer(grade=-grade), 2) == [Preference(0, 1, tie=False, margin=margin)]
    assert preferences(Pair(), Answer(grade=0), 2) == [Preference(0, 1, tie=True, margin=0.0)]


def test_criteria_of_a_pair_are_stored_from_the_side_of_each() -> None:
    kind = Pair(criteria=("kind",))
    first, second = kind.verdicts(Answer(grade=1, criteria=({"kind": -2},)), 2)
    assert (first.grade, first.criteria) == (-1, {"kind": 2})
    assert (second.grade, second.criteria) == (1, {"kind": -2})


def test_a_ranking_compares_all_and_says_not_how_much() -> None:
    assert preferences(Rank(), Answer(ranks=(2, 1, 2)), 3) == [
        Preference(1, 0, tie=False),
        Preference(0, 2, tie=True),
        Preference(1, 2, tie=False),
    ]


def test_ranks_are_stored_without_gaps() -> None:
    assert [each.rank for each in Rank().verdicts(Answer(ranks=(4, 1, 4, 2)), 4)] == [3, 1, 3, 2]


def test_the_best_is_compared_with_each_other_and_these_with_none() -> None:
    assert preferences(Best(), Answer(best=2), 3) == [
        Preference(1, 0, tie=False),
        Preference(1, 2, tie=False),
    ]


def test_scores_compare_by_the_overall_one() -> None:
    answer = Answer(scores=(4, 2), criteria=({"kind": 1}, {"kind": 5}))
    assert preferences(KIND, answer, 2) == [Preference(0, 1, tie=False)]


def test_a_rewriting_compares_nothing() -> None:
    assert preferences(Rewrite(), Answer(text="mine", edited=1), 2) == []


@pytest.mark.parametrize(
    ("kind", "expected", "given", "right"),
    [
        (Pair(), Answer(grade=3), Answer(grade=1), True),
        (Pair(), Answer(grade=3), Answer(grade=0), False),
        (Pair(), Answer(grade=1), Answer(grade=-1), False),
        (Pair(), Answer(grade=0), Answer(grade=-1), True),
        (Pair(), Answer(grade=0), Answer(grade=2), False),
        (Rank(), Answer(ranks=(1, 2, 3)), Answer(ranks=(1, 2, 3)), True),
        (Rank(), Answer(ranks=(1, 2, 3)), Answer(ranks=(2, 1, 3)), False),
        (Rank(), Answer(ranks=(1, 2, 3)), Answer(ranks=(1, 1, 2)), False),
        (Rank(), Answer(ranks=(1, 2, 2)), Answer(ranks=(1, 3, 2)), True),
        (Best(), Answer(best=2), Answer(best=2), True),
        (Best(), Answer(best=2), Answer(best=1), False),
        (Score(), Answer(scores=(4, 2, 3)), Answer(scores=(5, 1, 3)), True),
        (Score(), Answer(scores=(4, 2, 3)), Answer(scores=(4, 2, 5)), False),
    ],
)
def test_an_answer_is_right_as_far_as_the_expected_one_is_sure(
    kind: Feedback, expected: Answer, given: Answer, *, right: bool
) -> None:
    samples = len(expected.ranks or expected.scores) or (2 if kind.name == "pair" else 3)
    assert kind.is_correct(kind.verdicts(expected, samples), kind.verdicts(given, samples)) is right


def test_every_kind_says_its_name_and_its_loss() -> None:
    losses = {name: kind.loss for name, kind in KINDS.items()}
    assert losses == {
        "pair": "pairs",
        "rank": "pairs",
        "best": "pairs",
        "score": "pairs",
        "rewrite": "likelihood",
    }


WHOLE = st.integers(-(10**6), 10**6)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30).map(
    str.strip
)
ANSWERS = st.builds(
    Answer,
    ranks=st.lists(WHOLE, max_size=4).map(tuple),
    scores=st.lists(WHOLE, max_size=4).map(tuple),
    grade=st.none() | WHOLE,
    best=st.none() | WHOLE,
    text=TEXT,
    edited=st.none() | WHOLE,
    criteria=st.lists(st.dictionaries(st.text(max_size=5), WHOLE, max_size=3), max_size=3).map(tuple),
    all_bad=st.booleans(),
    flagged=st.booleans(),
    comment=TEXT,
    seconds=st.none() | st.floats(0, 86_400),
)


@given(ANSWERS)
def test_an_answer_comes_back_from_json(answer: Answer) -> None:
    assert parse_answer(json.loads(json.dumps(answer.as_json()))) == answer


def test_what_was_not_said_is_left_out_of_json_and_what_is_0_is_not() -> None:
    assert Answer(grade=0, seconds=0.0).as_json() == {"grade": 0, "seconds": 0.0}
    assert Answer().as_json() == {}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ([], "answer: must be a JSON object"),
        ({"rank": [1]}, "rank: unknown field"),
        ({"grade": "1"}, "grade: must be a whole number"),
        ({"grade": True}, "grade: must be a whole number"),
        ({"best": 1.5}, "best: must be a whole number"),
        ({"ranks": [1, "2"]}, "ranks: must be a list of whole numbers"),
        ({"ranks": "12"}, "ranks: must be a list of whole numbers"),
        ({"criteria": {"kind": 1}}, "criteria: must be a list of objects"),
        ({"criteria": [{"kind": "1"}]}, "criteria: each must be an object of whole numbers"),
        ({"all_bad": 1}, "all_bad: must be true or false"),
        ({"text": 5}, "text: must be plain text"),
        ({"text": "a\x00b"}, "text: must be plain text"),
        ({"comment": "half a character: \ud83d"}, "comment: must be plain text"),
        ({"text": "x" * (MAX_TEXT_LENGTH + 1)}, "text: 100,001 characters; at most 100,000"),
        ({"seconds": float("nan")}, "seconds: must be a number from 0"),
        ({"seconds": -1}, "seconds: must be a number from 0"),
    ],
)
def test_what_is_no_answer_is_refused_with_the_field(data: object, says: str) -> None:
    with pytest.raises(AnswerError, match=says):
        parse_answer(data)


def test_a_text_of_the_greatest_length_is_kept_without_the_space_around_it() -> None:
    assert parse_answer({"text": "\n" + "x" * MAX_TEXT_LENGTH + " "}).text == "x" * MAX_TEXT_LENGTH


def test_whether_the_samples_are_judged() -> None:
    assert not Answer(all_bad=True, comment="all are rude").has_judgements
    for judging in (Answer(grade=0), Answer(best=1), Answer(ranks=(1,)), Answer(text="a"), Answer(edited=1)):
        assert judging.has_judgements
