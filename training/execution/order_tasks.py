"""Prioritise a project's open tasks by how much a reward model would learn from their answers."""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from labeling.models import Project, Task
from labeling.task_priorities import PrioritisedTask, prioritisable_tasks, set_task_priorities
from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.model_loading import load_reward
from training.execution.result import RunResult
from training.gpt.config import HardwareConfig
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.errors import InputError
from training.models import Run
from training.rlhf.feedback.preferences import hash_fraction
from training.rlhf.reward.acquisition import acquisition_scores, mixed_task_order
from training.rlhf.reward.reward_model import BaseRewardModel

TASKS_AT_ONCE = 256
FIRST_PART = 10
"""The first tenth of the order is compared with the rest."""

BINS = 20
"""Bins of the histogram of acquisition scores."""


def execute(run: Run, attempt: Attempt, folder: Path) -> RunResult:  # noqa: ARG001
    """Score all open tasks, mix the best with random ones, and store the order."""
    project, reward = run.project, run.reward
    assert project is not None
    assert reward is not None
    by, share = Task.Choice(run.parameters["by"]), run.parameters["share"] / 100
    attempt.report("loading the reward model")
    judge = load_reward(reward)
    if by == Task.Choice.DISAGREEMENT and judge.members == 1:
        raise InputError(
            f"reward: “{reward}” is a single model, which has no disagreement; train an ensemble with "
            f"`manage.py train_reward --members 4`, or choose --by {Task.Choice.CLOSENESS}."
        )
    useful = score_tasks(run, attempt, project, judge, by=by)
    # Tasks that somebody began in the meantime keep their place.
    waiting = [task for task in prioritisable_tasks(project).values_list("pk", flat=True) if task in useful]
    values = [useful[task] for task in waiting]
    order = [
        PrioritisedTask(waiting[place.task], by, values[place.task])
        if place.chosen
        else PrioritisedTask(waiting[place.task], Task.Choice.RANDOM, None)
        for place in mixed_task_order(values, draws=[task_draw(task) for task in waiting], share=share)
    ]
    return RunResult(
        metrics=order_metrics(order, useful),
        record=lambda: set_task_priorities(project, order),
    )


def score_tasks(
    run: Run, attempt: Attempt, project: Project, judge: BaseRewardModel, *, by: str
) -> dict[int, float]:
    """The acquisition score of each task, by its id."""
    hardware = config_of(HardwareConfig, run)
    device = choose_device(hardware.device)
    judge = judge.to(device)
    keys = list(prioritisable_tasks(project).order_by("pk").values_list("pk", flat=True))
    found: dict[int, float] = {}
    for first in range(0, len(keys), TASKS_AT_ONCE):
        attempt.raise_if_stopped()
        some = keys[first : first + TASKS_AT_ONCE]
        tasks = Task.objects.filter(pk__in=some).select_related("prompt").prefetch_related("samples")
        shown = {
            task.pk: [(task.prompt.for_models, sample.text) for sample in task.samples.all()]
            for task in tasks
        }
        texts = [text for own in shown.values() for text in own]
        with autocast(device, choose_precision(hardware.precision, device)):
            rewards = judge.unnormalised(judge.member_scores(*zip(*texts, strict=True)))
        values = acquisition_scores(rewards.cpu(), [len(own) for own in shown.values()], by=by)
        found |= zip(shown, values, strict=True)
        done = len(found)
        attempt.report(f"{done:,} of {len(keys):,} tasks", progress=done / len(keys))
    return found


def task_draw(task: int) -> float:
    """The draw that decides whether a task is ordered at random: fixed for each task, so that the random ones
    remain a fair sample of all."""
    return hash_fraction(f"task {task}", seed=0)


def order_metrics(order: Sequence[PrioritisedTask], useful: dict[int, float]) -> dict[str, Any]:
    """The metrics of an order: the numbers of chosen and random tasks, and histograms of the acquisition
    scores of the first tasks and the rest."""
    begins = math.ceil(len(order) / FIRST_PART)
    sides: dict[str, list[float]] = {"chosen": [], "random": [], "later": []}
    for place, each in enumerate(order):
        side = "random" if each.choice == Task.Choice.RANDOM else "chosen"
        sides[side if place < begins else "later"].append(useful[each.task])
    low, high = min(useful.values(), default=0.0), max(useful.values(), default=0.0)
    width = (high - low) / BINS or 1.0
    chosen = sum(each.choice != Task.Choice.RANDOM for each in order)
    return {
        "tasks": len(order),
        "chosen": chosen,
        "random": len(order) - chosen,
        "usefulness": {
            "low": low,
            "width": width,
            "means": {side: fmean(values) for side, values in sides.items() if values},
            **{side: histogram(values, low=low, width=width) for side, values in sides.items()},
        },
    }


def histogram(values: Sequence[float], *, low: float, width: float) -> list[int]:
    """The number of values in each bin."""
    found = [0] * BINS
    for value in values:
        found[min(BINS - 1, int((value - low) / width))] += 1
    return found
