from collections.abc import Sequence

import pytest

from training.gpt.errors import InputError
from training.rlhf.win_rate import wilson_interval, win_rate


def length(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    return [float(len(completion)) for completion in completions]


def test_ties_count_half() -> None:
    found = win_rate(
        length,
        prompts=["p"] * 4,
        completions_a=["aaa", "aa", "a", "aa"],
        completions_b=["a", "aa", "aaa", "bb"],
    )
    assert found.rate == 0.5
    assert (found.mean_a, found.mean_b, found.count) == (2.0, 2.0, 4)


def test_the_two_versions_mirror_each_other() -> None:
    a, b = ["aaa", "aa", "a"], ["a", "aa", "a"]
    forth = win_rate(length, prompts=["p"] * 3, completions_a=a, completions_b=b)
    back = win_rate(length, prompts=["p"] * 3, completions_a=b, completions_b=a)
    assert forth.rate == pytest.approx(2 / 3)
    assert back.rate == pytest.approx(1 - forth.rate)


def test_the_interval_is_wilsons() -> None:
    # Newcombe 1998, table I: 81 of 263 gives .2553 to .3662.
    assert wilson_interval(81 / 263, count=263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    low, high = wilson_interval(1.0, count=10)
    assert 0.7 < low < 0.73
    assert high == 1.0


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="prompts"):
        win_rate(length, prompts=[], completions_a=[], completions_b=[])
    with pytest.raises(InputError, match="completions"):
        win_rate(length, prompts=["p"], completions_a=["a"], completions_b=[])
