"""What is measured where some tasks were chosen for being hard: figures about people come from the others."""

import random
from dataclasses import replace

import pytest

from tests.rlhf.letter_feedback import rankings, ratings, taught
from training.rlhf.feedback.preferences import Comparison, from_random_tasks
from training.rlhf.feedback.score_weights import ratings_to_comparisons


def answers(*, share: float) -> list[Comparison]:
    """Rankings of which a share were chosen for being hard: those people answer by a coin."""
    rng = random.Random(1)
    found = []
    for pair in rankings(300, prompts=1):
        if random.Random(pair.group).random() >= share:
            found.append(pair)
        elif not pair.tie and rng.random() < 0.5:
            found.append(replace(pair, choice="closeness", chosen=pair.rejected, rejected=pair.chosen))
        else:
            found.append(replace(pair, choice="closeness"))
    return found


def test_accuracy_is_that_on_random_tasks_and_that_of_all_stands_beside_it() -> None:
    result = taught(answers(share=0.5))
    of_all = result.metrics["accuracy_of_all"]
    assert result.accuracy > 0.85
    assert of_all["accuracy"] < result.accuracy - 0.1
    chosen = result.metrics["heldout_chosen"]
    assert 0 < chosen < result.metrics["heldout_comparisons"]
    measured = from_random_tasks(result.heldout)
    assert len(measured) == len(result.heldout) - chosen
    scored = result.model.score
    right = [
        a > b
        for pair in measured
        if not pair.tie
        for a, b in [scored([pair.prompt] * 2, [pair.chosen, pair.rejected])]
    ]
    assert result.accuracy == pytest.approx(sum(right) / len(right))
    low, high = result.interval
    assert low < result.accuracy < high
    assert result.metrics["annotators"] == []
    assert sum(each["comparisons"] for each in result.metrics["by_strength"]) == len(right)


def test_nothing_stands_beside_it_where_all_came_at_random_or_all_were_chosen() -> None:
    for share, expected in ((0.0, 0), (1.1, None)):
        result = taught(answers(share=share), epochs=1)
        assert "accuracy_of_all" not in result.metrics
        held_out = result.metrics["heldout_comparisons"]
        assert result.metrics["heldout_chosen"] == (held_out if expected is None else expected)
        assert from_random_tasks(result.heldout) == result.heldout


def test_scores_that_are_compared_keep_why_their_task_was_asked() -> None:
    rated = [replace(each, choice="disagreement") for each in ratings(3)]
    pairs = ratings_to_comparisons(rated)
    assert pairs
    assert {pair.choice for pair in pairs} == {"disagreement"}
