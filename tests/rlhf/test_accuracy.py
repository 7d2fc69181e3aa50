import math
import random

import pytest

from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.accuracy import (
    accuracy,
    accuracy_by_annotator,
    accuracy_by_strength,
    length_baseline,
)


def pair(prompt: str = "p", *, tie: bool = False, margin: float = 0.0, annotator: str = "") -> Comparison:
    return Comparison(prompt, "a", "b", tie=tie, margin=margin, annotator=annotator)


def test_ties_are_left_out_and_equal_rewards_are_half_right() -> None:
    found = accuracy([2.0, -1.0, 0.0, 5.0], [pair("1"), pair("2"), pair("3"), pair("4", tie=True)])
    assert (found.accuracy, found.comparisons) == (0.5, 3)


def test_of_nothing_but_ties_nothing_is_known() -> None:
    found = accuracy([1.0], [pair(tie=True)])
    assert math.isnan(found.accuracy)
    assert (found.low, found.high, found.comparisons) == (0.0, 1.0, 0)


def test_the_interval_covers_the_truth_19_times_in_20_although_prompts_differ() -> None:
    """Prompts of five comparisons each that are easy or hard together; a coin would differ less."""
    rng, covered, coins, trials = random.Random(0), 0, 0, 300
    for _ in range(trials):
        comparisons, differences = [], []
        for prompt in range(60):
            easy = rng.random() < 0.5
            comparisons += [pair(str(prompt))] * 5
            differences += [1.0 if rng.random() < (0.95 if easy else 0.45) else -1.0 for _ in range(5)]
        found = accuracy(differences, comparisons)
        covered += found.low <= 0.7 <= found.high
        half = 1.96 * math.sqrt(found.accuracy * (1 - found.accuracy) / found.comparisons)
        coins += abs(found.accuracy - 0.7) <= half
    assert covered / trials > 0.93
    assert coins / trials < 0.9


def test_answers_that_only_repeat_others_make_nothing_surer() -> None:
    rng = random.Random(1)
    gaps = [rng.gauss(0.5, 1) for _ in range(100)]
    once = accuracy(gaps, [pair(str(n)) for n in range(100)])
    thrice = accuracy([gap for gap in gaps for _ in range(3)], [pair(str(n // 3)) for n in range(300)])
    assert thrice.accuracy == pytest.approx(once.accuracy)
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.02)


def test_each_annotator_has_a_row_of_their_own_and_the_nameless_none() -> None:
    found = accuracy_by_annotator(
        [1.0, -1.0, 1.0, 1.0],
        [pair("1", annotator="ben"), pair("2", annotator="ann"), pair("3", annotator="ben"), pair("4")],
    )
    assert list(found) == ["ann", "ben"]
    assert (found["ann"].accuracy, found["ben"].accuracy) == (0.0, 1.0)
    assert found["ben"].comparisons == 2


def test_few_strengths_are_shown_each_and_many_in_seven_groups() -> None:
    graded = accuracy_by_strength([1.0, -1.0, 1.0], [pair("1", margin=1), pair("2"), pair("3", margin=1)])
    assert [(row["strength"], row["accuracy"]) for row in graded] == [(0.0, 0.0), (1.0, 1.0)]
    fine = accuracy_by_strength([1.0] * 100, [pair(str(n), margin=n / 100) for n in range(100)])
    assert len(fine) == 7
    assert sum(row["comparisons"] for row in fine) == 100
    assert {row["comparisons"] for row in fine} <= {14, 15}
    assert [row["strength"] for row in fine] == sorted(row["strength"] for row in fine)


def test_longer_wins_counts_characters() -> None:
    pairs = [Comparison("1", "long", "s"), Comparison("2", "s", "long"), Comparison("3", "ab", "cd")]
    assert length_baseline(pairs).accuracy == 0.5
