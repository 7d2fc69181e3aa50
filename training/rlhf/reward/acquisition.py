"""Choosing what to ask: how much the answer to a task would teach a reward model, and an order made of it.

A task is a prompt with K completions. What a reward model expects of its answer is, for each pair of them,
the probability sigma(r_i - r_j) that people prefer the one to the other (Bradley and Terry), and each member
of an ensemble has its own. N texts, M members, T tasks, P pairs of texts of one task.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

ACQUISITION_FUNCTIONS = ("disagreement", "closeness")
"""What makes a task useful: that the members expect different answers to it, or that they expect none."""


class Place(NamedTuple):
    """A place in an order: which task stands there, and whether its usefulness put it there."""

    task: int
    chosen: bool


def acquisition_scores(rewards: Tensor, sizes: Sequence[int], *, by: str) -> list[float]:
    """The acquisition score of each task by one of ACQUISITION_FUNCTIONS, the mean over its pairs. [T]

    `rewards` are those of all texts by each member, in the units of the loss, task after task, and `sizes`
    say how many texts each task has. [N, M], T

    `disagreement` is the deviation of the members' probabilities around their mean, as in Christiano et al.
    2017 (section 2.2.4): from 0 to 1/2, and 0 wherever there is but one member. `closeness` is the entropy of
    their mean in bits: from 0, where the answer is known, to 1, where it is a coin's.
    """
    first, second, task = _pairs(sizes)
    preferred = torch.sigmoid(rewards[first].double() - rewards[second].double())  # [P, M]
    if by == "disagreement":
        # Variances are what may be averaged over pairs; the root gives back the unit, a probability.
        return _means(preferred.var(dim=1, correction=0), task, len(sizes)).sqrt().tolist()
    mean = preferred.mean(dim=1)
    bits = -(torch.xlogy(mean, mean) + torch.xlogy(1 - mean, 1 - mean)) / torch.log(torch.tensor(2.0))
    return _means(bits, task, len(sizes)).tolist()


def mixed_task_order(useful: Sequence[float], *, draws: Sequence[float], share: float) -> list[Place]:
    """All tasks in an order in which a share of any beginning is chosen, and the others come as drawn.

    `draws` are numbers in [0, 1) that belong to the tasks and know nothing of them: what drew less than
    `share` stands among the chosen, the most useful first, the rest among the random, in the order of their
    draws. So the random ones are a fair sample of all tasks, useful ones included, and stay one however far
    people get, and when what is left is ordered again with the same draws: figures on them are unbiased.

    Of the first n places, n times the share of the chosen, rounded down, are chosen.
    """
    tasks = range(len(useful))
    chosen = iter(sorted((task for task in tasks if draws[task] < share), key=lambda task: -useful[task]))
    others = iter(sorted((task for task in tasks if draws[task] >= share), key=lambda task: draws[task]))
    count = sum(draw < share for draw in draws)
    order = []
    for place in tasks:
        is_chosen = (place + 1) * count // len(useful) > place * count // len(useful)
        order.append(Place(next(chosen if is_chosen else others), is_chosen))
    return order


def _pairs(sizes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Both texts of each pair and the task it is of. 3 x [P]"""
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
