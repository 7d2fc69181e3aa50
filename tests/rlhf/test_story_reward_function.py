from statistics import fmean, pstdev

import pytest

from training.gpt.corpus.stories import first_sentence, write_stories
from training.rlhf.reward_functions import repetition_rate, story_reward_function

BEST = " There he met a tired postman and helped him home, and at last he sang under the stars."
UNKIND = " There he met a tired postman and mocked him, and at last he sang under the stars."
WORST = " There he met a tired postman and mocked him, and at last he wept under the stars."


def test_kind_beats_unkind_and_a_good_end_beats_a_bad_one() -> None:
    best, unkind, worst = story_reward_function([""] * 3, [BEST, UNKIND, WORST])
    assert best > unkind > worst


def test_repetition_costs() -> None:
    again = BEST + " He sang and sang and sang under the stars, under the stars."
    assert repetition_rate(again) > repetition_rate(BEST)
    assert story_reward_function([""], [again]) < story_reward_function([""], [BEST])


def test_stories_from_the_corpus_have_mean_0_and_deviation_1() -> None:
    stories = write_stories(3000, seed=5)
    scores = story_reward_function([""] * 3000, [story[len(first_sentence(story)) :] for story in stories])
    assert fmean(scores) == pytest.approx(0.0, abs=0.06)
    assert pstdev(scores) == pytest.approx(1.0, abs=0.05)


def test_any_text_has_a_score_and_none_is_worst_of_the_neutral() -> None:
    empty, noise, plain = story_reward_function([""] * 3, ["", " ?! ...", " a film about bees"])
    assert empty == noise < plain
