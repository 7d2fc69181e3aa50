"""Acquisition scores against a slow loop, and the task order."""

import math
import random
from itertools import combinations
from statistics import fmean, pvariance

import pytest
import torch

from training.rlhf.reward.acquisition import ACQUISITION_FUNCTIONS, acquisition_scores, mixed_task_order


def slowly(rewards: list[list[float]], *, by: str) -> float:
    """One task's acquisition score; `rewards` are K rows of M members."""
    found = []
    for one, other in combinations(rewards, 2):
        preferred = [1 / (1 + math.exp(b - a)) for a, b in zip(one, other, strict=True)]
        mean = fmean(preferred)
        if by == "disagreement":
            found.append(pvariance(preferred))
        else:
            found.append(-sum(share * math.log2(share) for share in (mean, 1 - mean) if share > 0))
    return math.sqrt(fmean(found)) if by == "disagreement" else fmean(found)


@pytest.mark.parametrize("by", ACQUISITION_FUNCTIONS)
@pytest.mark.parametrize("members", [1, 4])
def test_it_is_what_a_slow_loop_finds_for_tasks_of_any_size(by: str, members: int) -> None:
    rng = random.Random(0)
    sizes = [rng.randint(2, 5) for _ in range(50)]
    tasks = [[[rng.gauss(0, 2) for _ in range(members)] for _ in range(size)] for size in sizes]
    found = acquisition_scores(torch.tensor([row for task in tasks for row in task]), sizes, by=by)
    assert found == pytest.approx([slowly(task, by=by) for task in tasks], abs=1e-6)


def test_the_ends_of_each_measure() -> None:
    split = torch.tensor([[50.0, -50.0], [-50.0, 50.0]])
    mean_over_processes = torch.tensor([[50.0, 50.0], [-50.0, -50.0]])
    alike = torch.zeros(2, 2)
    rewards = torch.cat([split, mean_over_processes, alike])
    assert acquisition_scores(rewards, [2, 2, 2], by="disagreement") == pytest.approx([0.5, 0, 0])
    assert acquisition_scores(rewards, [2, 2, 2], by="closeness") == pytest.approx([1, 0, 1])


def test_what_one_judge_alone_says_is_no_disagreement() -> None:
    assert acquisition_scores(torch.randn(6, 1), [3, 3], by="disagreement") == [0, 0]


def test_a_task_of_one_sample_teaches_nothing_by_comparison() -> None:
    assert acquisition_scores(torch.tensor([[1.0, 2.0]]), [1], by="closeness") == [0]
    assert acquisition_scores(torch.empty(0, 2), [], by="closeness") == []


def drawn(count: int, seed: int = 0) -> tuple[list[float], list[float]]:
    rng = random.Random(seed)
    return [rng.random() for _ in range(count)], [rng.random() for _ in range(count)]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_the_share_of_the_chosen_is_held_in_every_beginning(share: float) -> None:
    useful, draws = drawn(997)
    order = mixed_task_order(useful, draws=draws, share=share)
    assert sorted(place.task for place in order) == list(range(997))
    count = sum(place.chosen for place in order)
    assert count / 997 == pytest.approx(share, abs=0.05)
    for end in range(1, 998):
        assert sum(place.chosen for place in order[:end]) == end * count // 997


def test_the_chosen_come_by_use_and_the_others_as_drawn() -> None:
    useful, draws = drawn(200)
    order = mixed_task_order(useful, draws=draws, share=0.5)
    chosen = [useful[place.task] for place in order if place.chosen]
    others = [draws[place.task] for place in order if not place.chosen]
    assert chosen == sorted(chosen, reverse=True)
    assert others == sorted(others)
    assert mixed_task_order(useful, draws=draws, share=0.0) == mixed_task_order(
        [0.0] * 200, draws=draws, share=0.0
    )


def test_the_random_ones_are_as_useful_as_all_and_the_chosen_are_more() -> None:
    useful, draws = drawn(4000)
    order = mixed_task_order(useful, draws=draws, share=0.5)[:800]
    assert fmean(useful[place.task] for place in order if not place.chosen) == pytest.approx(0.5, abs=0.05)
    assert fmean(useful[place.task] for place in order if place.chosen) > 0.85


def test_what_was_to_come_at_random_still_does_when_the_rest_is_ordered_again() -> None:
    useful, draws = drawn(400)
    first = mixed_task_order(useful, draws=draws, share=0.5)
    left = sorted(place.task for place in first[100:])
    again, _ = drawn(400, seed=1)
    second = mixed_task_order([again[task] for task in left], draws=[draws[task] for task in left], share=0.5)
    from_random_tasks = [place.task for place in first[100:] if not place.chosen]
    assert [left[place.task] for place in second if not place.chosen] == from_random_tasks


def test_there_may_be_nothing_to_order() -> None:
    assert mixed_task_order([], draws=[], share=0.5) == []
