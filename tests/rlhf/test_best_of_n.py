import itertools
import math
import random
import statistics

import pytest

from training.gpt.errors import InputError
from training.rlhf.evaluation.best_of_n import (
    best_of_n,
    best_of_n_kl,
    choose_best,
    expected_best,
    powers_of_two,
)


def slowly(rewards: list[float], golds: list[float], n: int) -> float:
    """Every subset of n, and the mean over those that tie for its best."""
    found = []
    for chosen in itertools.combinations(range(len(rewards)), n):
        top = max(rewards[index] for index in chosen)
        found.append(statistics.fmean(golds[index] for index in chosen if rewards[index] == top))
    return statistics.fmean(found)


@pytest.mark.parametrize("levels", [3, 1000])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_it_equals_the_mean_over_all_subsets_ties_included(n: int, levels: int) -> None:
    rng = random.Random(n)
    rewards = [float(rng.randrange(levels)) for _ in range(8)]
    golds = [rng.gauss(0, 1) for _ in range(8)]
    assert expected_best(rewards, golds, n=n) == pytest.approx(slowly(rewards, golds, n))


def test_it_is_unbiased_for_fresh_draws_of_n() -> None:
    rng = random.Random(0)

    def draw(count: int) -> tuple[list[float], list[float]]:
        golds = [rng.gauss(0, 1) for _ in range(count)]
        return [gold + rng.gauss(0, 1) for gold in golds], golds

    reused = best_of_n(*zip(*(draw(16) for _ in range(3000)), strict=True), n=4)
    fresh = best_of_n(*zip(*(draw(4) for _ in range(3000)), strict=True), n=4)
    # E[max of 4 standard normals] = 1.0294; the reward's deviation is sqrt 2 and half of it is gold.
    assert reused.gold == pytest.approx(1.0294 / math.sqrt(2), abs=4 * reused.gold_error)
    assert fresh.gold == pytest.approx(1.0294 / math.sqrt(2), abs=4 * fresh.gold_error)
    assert reused.gold_error < 0.75 * fresh.gold_error
    assert reused.reward == pytest.approx(1.0294 * math.sqrt(2), abs=0.05)


def test_the_kl_is_that_of_the_enumerated_distribution() -> None:
    # Of V equally likely outcomes, the best of n is outcome k with probability (k^n - (k-1)^n) / V^n.
    outcomes = 20_000
    for n in (1, 2, 4, 16):
        shares = [(k / outcomes) ** n - ((k - 1) / outcomes) ** n for k in range(1, outcomes + 1)]
        exact = math.fsum(share * math.log(share * outcomes) for share in shares if share)
        assert best_of_n_kl(n) == pytest.approx(exact, abs=2e-3)
        assert exact <= best_of_n_kl(n) + 1e-12


def test_a_single_completion_is_the_policy_itself() -> None:
    found = best_of_n([[1.0, 2.0]], [[5.0, 7.0]], n=1)
    assert (found.kl, found.gold, found.reward) == (0.0, 6.0, 1.5)
    assert math.isnan(found.gold_error)


def test_the_curve_goes_by_powers_of_two_to_the_last() -> None:
    assert powers_of_two(12) == [1, 2, 4, 8, 12]
    assert powers_of_two(1) == [1]


def test_the_best_completion_of_each_prompt_is_chosen() -> None:
    longest = lambda prompts, completions: [float(len(text)) for text in completions]  # noqa: E731
    assert choose_best(longest, ["p", "q"], [["a", "abc", "ab"], ["xy", "zz"]]) == ["abc", "xy"]


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(InputError, match="5 cannot be drawn of 4"):
        best_of_n([[1.0] * 4], [[1.0] * 4], n=5)
    with pytest.raises(InputError, match="0 prompts"):
        best_of_n([], [], n=1)
