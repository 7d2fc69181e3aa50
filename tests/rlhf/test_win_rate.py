import random
from collections.abc import Sequence

import pytest

from training.gpt.errors import InputError
from training.rlhf.evaluation.win_rate import (
    agreement_rate,
    estimate_rate,
    longer_win_rate,
    wilson_interval,
    win_rate,
)


def length(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    return [float(len(completion)) for completion in completions]


def test_ties_count_half() -> None:
    found = win_rate(
        length,
        prompts=["p", "q", "r", "s"],
        completions_a=["aaa", "aa", "a", "aa"],
        completions_b=["a", "aa", "aaa", "bb"],
    )
    assert found.rate == 0.5
    assert found.points == [1, 0.5, 0, 0.5]
    assert (found.mean_a, found.mean_b, found.count) == (2.0, 2.0, 4)


def test_the_two_versions_mirror_each_other() -> None:
    prompts, a, b = ["p", "q", "r"], ["aaa", "aa", "a"], ["a", "aa", "a"]
    forth = win_rate(length, prompts=prompts, completions_a=a, completions_b=b)
    back = win_rate(length, prompts=prompts, completions_a=b, completions_b=a)
    assert forth.rate == pytest.approx(2 / 3)
    assert back.rate == pytest.approx(1 - forth.rate)
    assert back.interval == pytest.approx(tuple(1 - end for end in reversed(forth.interval)))


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263 gives .2553 to .3662.
    assert wilson_interval(81 / 263, count=263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    low, high = wilson_interval(1.0, count=10)
    assert 0.7 < low < 0.73
    assert high == 1.0
    assert estimate_rate([1.0] * 7 + [0.0] * 3, clusters=range(10)).interval == wilson_interval(0.7, count=10)


def test_answers_that_repeat_each_other_count_as_one() -> None:
    points = [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0] * 4
    once = estimate_rate(points, clusters=range(32))
    thrice = estimate_rate(points * 3, clusters=[*range(32)] * 3)
    assert thrice.count == 3 * once.count
    assert thrice.interval == pytest.approx(once.interval, abs=0.01)
    # Unanimous answers to four prompts are four points, however many people gave them.
    assert estimate_rate([1.0] * 40, clusters=[*range(4)] * 10).interval == wilson_interval(1.0, count=4)
    assert estimate_rate([1.0, 0.0, 1.0], clusters=["p"] * 3).interval == wilson_interval(2 / 3, count=1)


def test_answers_that_are_independent_lose_nothing() -> None:
    rng = random.Random(1)
    points = [float(rng.random() < 0.6) for _ in range(600)]
    low, high = estimate_rate(points, clusters=[index // 3 for index in range(600)]).interval
    wilson_low, wilson_high = wilson_interval(sum(points) / 600, count=600)
    assert high - low == pytest.approx(wilson_high - wilson_low, rel=0.15)


def test_the_interval_covers_the_truth_where_answers_to_a_prompt_depend_on_each_other() -> None:
    """Prompts differ in how clear they are (beta-distributed, correlation 0.3); each has 3 answers."""
    rng = random.Random(0)
    truth, prompts, answers = 0.6, 20, 3
    covered = naive = 0
    for _ in range(500):
        chances = [rng.betavariate(truth * 7 / 3, (1 - truth) * 7 / 3) for _ in range(prompts)]
        points = [float(rng.random() < chance) for chance in chances for _ in range(answers)]
        found = estimate_rate(points, clusters=[index // answers for index in range(len(points))])
        covered += found.interval[0] <= truth <= found.interval[1]
        low, high = wilson_interval(found.rate, count=len(points))
        naive += low <= truth <= high
    assert naive / 500 < 0.91
    assert 0.93 <= covered / 500 <= 0.97


def test_longer_texts_that_win_are_counted_apart_from_ties() -> None:
    found = longer_win_rate(
        [1.0, 0.0, 1.0, 0.5, 1.0],
        prompts=range(5),
        completions_a=["long", "long", "a", "longer", "same"],
        completions_b=["a", "a", "long", "a", "size"],
    )
    assert found is not None
    assert found.count == 3
    assert found.rate == pytest.approx(1 / 3)
    assert longer_win_rate([0.5], prompts=[0], completions_a=["long"], completions_b=["a"]) is None


def test_a_judge_agrees_with_people_where_they_preferred_something() -> None:
    found = agreement_rate([1.0, 0.0, 0.5, 1.0], [1.0, 1.0, 0.0, 0.5], clusters=["p", "q", "r", "s"])
    assert found is not None
    assert (found.rate, found.count) == (0.5, 3)
    assert agreement_rate([1.0], [0.5], clusters=["p"]) is None


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="prompts"):
        win_rate(length, prompts=[], completions_a=[], completions_b=[])
    with pytest.raises(InputError, match="completions"):
        win_rate(length, prompts=["p"], completions_a=["a"], completions_b=[])
    with pytest.raises(InputError, match="points"):
        estimate_rate([], clusters=[])
