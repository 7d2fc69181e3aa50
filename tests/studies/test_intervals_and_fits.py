"""Intervals, fits and accuracies, against closed forms."""

import math
import random
from statistics import fmean

import pytest

from training.studies.intervals import mean_interval, paired_difference
from training.studies.overoptimisation import evaluate_curve, fit_curve
from training.studies.reward_models import pairwise_accuracy


def test_the_interval_of_a_mean_is_student_s() -> None:
    found = mean_interval([1.0, 2.0, 3.0])
    # t(0.975, 2) = 4.3027, standard error 1 / sqrt(3)
    assert (found.value, found.count) == (2.0, 3)
    assert found.high - 2.0 == pytest.approx(4.3027 / math.sqrt(3), abs=1e-4)
    assert 2.0 - found.low == pytest.approx(found.high - 2.0)


def test_the_interval_covers_the_truth_in_95_of_100_cases() -> None:
    rng = random.Random(0)
    held = 0
    for _ in range(500):
        found = mean_interval([rng.gauss(1.0, 2.0) for _ in range(5)])
        held += found.low <= 1.0 <= found.high
    assert 0.92 <= held / 500 <= 0.975


def test_a_single_value_has_no_interval() -> None:
    found = mean_interval([0.5])
    assert math.isnan(found.low)
    assert str(found) == "0.500"


def test_a_paired_difference_cancels_what_both_share() -> None:
    shared = [0.0, 10.0, 20.0, 30.0]
    found = paired_difference([each + 1 + place / 10 for place, each in enumerate(shared)], shared)
    assert found.value == pytest.approx(1.15)
    assert 0.9 < found.low < found.high < 1.4


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_fit_recovers_the_curve(logarithmic: bool) -> None:
    d = [0.3, 0.8, 1.5, 2.5, 4.0]
    truth = {"a": 1.2, "b": 0.35}
    golds = evaluate_curve(truth, d, logarithmic=logarithmic)
    points = [{"d": 0.0, "gold": 0.5}] + [
        {"d": each, "gold": 0.5 + gold} for each, gold in zip(d, golds, strict=True)
    ]
    found = fit_curve(points, logarithmic=logarithmic)
    assert found["a"] == pytest.approx(1.2)
    assert found["b"] == pytest.approx(0.35)
    assert found["explained"] == pytest.approx(1.0)


def test_pairwise_accuracy_counts_neighbours_whose_gold_differs() -> None:
    scores = [[1.0, 0.0, 5.0, 5.0], [0.0, 1.0, 2.0, 3.0]]
    gold = [[1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 7.0, 7.0]]
    assert pairwise_accuracy(scores, gold) == pytest.approx(fmean([1.0, 0.5, 0.0]))
