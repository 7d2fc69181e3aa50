"""Strengths with intervals by the bootstrap: as wide as they should be, and quickly drawn."""

import time

import numpy as np
import pytest

from labeling.quality.bradley_terry import Comparison, fit_bradley_terry
from labeling.quality.leaderboard import bootstrap_strengths, pair_results


def played(items: int, count: int, *, prompts: int, ties: float = 0.15, seed: int = 0) -> list[Comparison]:
    """Comparisons of items whose strengths go from -1 to 1."""
    random = np.random.default_rng(seed)
    true = np.linspace(-1, 1, items)
    comparisons = []
    for number in range(count):
        one, other = (int(each) for each in random.choice(items, 2, replace=False))
        won = random.random() < 1 / (1 + np.exp(true[other] - true[one]))
        points = 0.5 if random.random() < ties else float(won)
        comparisons.append(Comparison(str(one), str(other), points, cluster=str(number % prompts)))
    return comparisons


def test_draws_scatter_as_the_standard_errors_say() -> None:
    comparisons = played(4, 600, prompts=300)
    found, drawn = fit_bradley_terry(comparisons), bootstrap_strengths(comparisons)
    assert drawn.mean(axis=0) == pytest.approx(found.strengths, abs=0.04)
    assert drawn.std(axis=0) == pytest.approx(found.errors, rel=0.2)


def test_one_draw_of_everything_is_the_fit_itself() -> None:
    comparisons = [each._replace(cluster="one") for each in played(3, 200, prompts=1)]
    assert bootstrap_strengths(comparisons, draws=2)[1] == pytest.approx(
        fit_bradley_terry(comparisons).strengths, abs=1e-3
    )


def test_several_answers_to_a_prompt_count_for_fewer_than_as_many_prompts() -> None:
    comparisons = played(2, 100, prompts=100)
    thrice = [each for each in comparisons for _ in range(3)]
    assert bootstrap_strengths(thrice).std(axis=0) == pytest.approx(
        bootstrap_strengths(comparisons).std(axis=0), rel=0.1
    )


def test_who_never_lost_has_an_interval_all_the_same() -> None:
    comparisons = [Comparison("a", "b", 1.0, cluster=str(number)) for number in range(10)]
    drawn = bootstrap_strengths(comparisons)
    assert np.isfinite(drawn).all()
    assert drawn[:, 0] == pytest.approx(fit_bradley_terry(comparisons).strengths[0], abs=1e-3)


def test_the_same_comparisons_give_the_same_intervals() -> None:
    comparisons = played(3, 60, prompts=30)
    assert (bootstrap_strengths(comparisons, draws=20) == bootstrap_strengths(comparisons, draws=20)).all()


def test_twelve_versions_and_three_thousand_comparisons_take_seconds() -> None:
    comparisons = played(12, 3000, prompts=1500)
    began = time.process_time()
    bootstrap_strengths(comparisons)
    assert time.process_time() - began < 5  # 0.8 on the machine it was written on


def test_a_pair_is_told_both_ways_round() -> None:
    comparisons = [
        Comparison("1", "2", points, cluster=prompt)
        for points, prompt in ((1.0, "p"), (0.5, "p"), (0.0, "q"), (1.0, "r"))
    ]
    found = pair_results(comparisons)
    assert found[1, 2] == (2.5, 4, 3)
    assert found[2, 1] == (1.5, 4, 3)
    assert found[1, 2].win_rate.value == pytest.approx(0.625)
