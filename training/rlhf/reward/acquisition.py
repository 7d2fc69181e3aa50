"""Active learning: acquisition scores of tasks, and a task order made from them.

A task is a prompt with K completions. For each pair of them, each ensemble member predicts the probability
sigma(r_i - r_j) that annotators prefer one to the other (Bradley and Terry). N texts, M members, T tasks,
P pairs of texts of one task.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

ACQUISITION_FUNCTIONS = ("disagreement", "closeness")
"""Disagreement between ensemble members, or uncertainty of their mean prediction."""


class OrderedTask(NamedTuple):
    """A task in the order: its index, and whether it was chosen by its score or at random."""

    task: int
    chosen: bool


def acquisition_scores(rewards: Tensor, sizes: Sequence[int], *, by: str) -> list[float]:
    """The acquisition score of each task by one of ACQUISITION_FUNCTIONS, the mean over its pairs. [T]

    `rewards` [N, M] are those of all texts by each member, in the units of the loss, task after task; `sizes`
    [T] are the numbers of texts of the tasks.

    `disagreement` is the standard deviation of the members' probabilities, as in Christiano et al. 2017
    (section 2.2.4): from 0 to 1/2, and 0 for a single member. `closeness` is the entropy of their mean in
    bits: from 0 for a certain answer to 1 for a coin toss.
    """
    first, second, task = _pairs(sizes)
    preferred = torch.sigmoid(rewards[first].double() - rewards[second].double())  # [P, M]
    if by == "disagreement":
        # Average variances over pairs, then take the root to get a probability again.
        return _means(preferred.var(dim=1, correction=0), task, len(sizes)).sqrt().tolist()
    mean = preferred.mean(dim=1)
    bits = -(torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean)) / torch.log(torch.tensor(2.0))
    return _means(bits, task, len(sizes)).tolist()


def mixed_task_order(scores: Sequence[float], *, draws: Sequence[float], share: float) -> list[OrderedTask]:
    """All tasks in an order that mixes tasks chosen by their scores with random ones.

    `draws` are independent random numbers in [0, 1), one per task: tasks with a draw below `share` are
    chosen, in descending order of score; the others are random, in ascending order of draw. The random tasks
    are a fair sample of all tasks, whatever their scores, also if the remaining tasks are ordered again with
    the same draws: metrics on them are unbiased.

    Of the first n tasks, n times the fraction of chosen tasks, rounded down, are chosen.
    """
    tasks = range(len(scores))
    chosen = iter(sorted((task for task in tasks if draws[task] < share), key=lambda task: -scores[task]))
    others = iter(sorted((task for task in tasks if draws[task] >= share), key=lambda task: draws[task]))
    count = sum(draw < share for draw in draws)
    order = []
    for position in tasks:
        is_chosen = (position + 1) * count // len(scores) > position * count // len(scores)
        order.append(OrderedTask(next(chosen if is_chosen else others), is_chosen))
    return order


def _pairs(sizes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Both texts and the task of each pair. 3 x [P]"""
    rows, start = [], 0
    for task, size in enumerate(sizes):
        rows += [(start + i, start + j, task) for i, j in combinations(range(size), 2)]
        start += size
    first, second, task_of = torch.tensor(rows, dtype=torch.long).reshape(-1, 3).unbind(dim=1)
    return first, second, task_of


def _means(values: Tensor, task: Tensor, count: int) -> Tensor:
    """The mean over the pairs of each task. [P], [P] -> [T]"""
    sums = torch.zeros(count, dtype=values.dtype).index_add(0, task, values)
    return sums / torch.bincount(task, minlength=count).clamp_min(1)
