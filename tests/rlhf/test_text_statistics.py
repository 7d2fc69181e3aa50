import pytest

from training.rlhf.evaluation.text_statistics import text_statistics


def test_figures_of_texts_counted_by_hand() -> None:
    found = text_statistics(["The cat saw the cat.", "A dog!"])
    assert found.words == 3.5
    assert found.words_deviation == 1.5
    assert found.distinct_1 == pytest.approx(5 / 7)  # the, cat, saw, a, dog
    assert found.distinct_2 == 4 / 5  # "the cat" comes twice
    assert found.repetition == pytest.approx((2 / 5 + 0) / 2)
    assert found.repeated_4_grams == 0.0


def test_one_phrase_for_every_prompt_is_little_variety_and_no_repetition() -> None:
    same = text_statistics(["so she smiled"] * 10)
    assert same.distinct_1 == pytest.approx(3 / 30)
    assert same.distinct_texts == pytest.approx(1 / 10)
    assert same.repetition == 0.0


def test_a_phrase_said_again_and_again_is_repetition() -> None:
    looped = text_statistics(["she ran and ran and ran and ran and ran", "one two three four five"])
    assert looped.repetition == pytest.approx((7 / 10) / 2)
    assert looped.repeated_4_grams == pytest.approx((1 - 3 / 7) / 2)
    assert looped.distinct_texts == 1.0


def test_runs_do_not_reach_from_one_text_into_the_next() -> None:
    assert text_statistics(["a", "b"]).distinct_2 is None


def test_texts_without_words_have_a_length_and_no_variety() -> None:
    empty = text_statistics(["", " …"])
    assert (empty.words, empty.distinct_1, empty.repetition) == (0.0, None, None)
