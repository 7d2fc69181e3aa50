"""Tuning methods at equal numbers of samples: policy gradients, dpo and best-of-n on the same comparisons.

The policy gradients and best-of-n use one reward model; dpo learns from its comparisons directly. All policy
gradients sample equally many completions, from fewer prompts if they sample several of each. All are measured
by gold, which none of them saw: the win rate over the untuned policy on held-out prompts, at the KL reached.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from training.gpt.config import HardwareConfig
from training.gpt.config_fields import option
from training.gpt.model import GPT
from training.rlhf.config import DpoConfig, FinetuneConfig
from training.rlhf.evaluation.best_of_n import best_of_n_kl
from training.rlhf.tuning.dpo import dpo
from training.studies.intervals import Estimate, paired_difference, proportion_interval
from training.studies.options import parse_names, parse_seeds
from training.studies.plots import COLOURS, GREY, plot_error_bars, svg_subplots
from training.studies.results_store import Cell, Results, ResultsStore
from training.studies.reward_models import (
    LEARNING_RATE,
    pairwise_accuracy,
    score_samples,
    train_reward,
)
from training.studies.samples import Samples, gold_comparisons
from training.studies.simulated_experiment import (
    SimulatedExperiment,
    tune_policy,
    without_early_stopping,
)
from training.studies.tables import markdown_table
from training.studies.tasks import TASKS, TaskOptions, load_task

# Name: estimator, and samples per prompt.
GRADIENTS = {
    "rloo, 4 samples": ("rloo", 4),
    "rloo, 2 samples": ("rloo", 2),
    "reinforce": ("reinforce", 1),
    "grpo, 4 samples": ("grpo", 4),
    "ppo": ("ppo", 1),
}
EXPECTED = ("rloo, 4 samples", "rloo, 2 samples", "reinforce")
"""The order that Ahmadian et al. (2024) found, best first."""

DPO = "dpo"
BEST_OF = (4, 16)
SECONDS_PER_STEP = {"ppo": 1.2}
"""On one slow core; 0.45 for the other estimators."""


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """Options of the study of estimators."""

    tasks: str = option("stories,reviews", "what the policy writes")
    seeds: str = option("0,1,2", "seeds; each has its own held-out prompts")
    samples: int = option(3200, "completions that each policy gradient samples", minimum=64)
    comparisons: int = option(4000, "comparisons that the reward model and dpo learn from", minimum=8)
    samples_per_step: int = option(64, "completions in one update, a multiple of 4", minimum=4)
    reward_learning_rate: float = LEARNING_RATE
    learning_rate: float = option(
        1e-3,
        "peak learning rate of policy gradients, divided by the updates of a batch",
        minimum=1e-6,
    )
    dpo_learning_rate: float = option(
        0.0, "peak learning rate of dpo (0: the default for the model's width)", minimum=0.0
    )
    dpo_epochs: float = option(1.0, "passes of dpo over the comparisons", minimum=0.1)
    kl_coefficient: float = option(0.1, "fixed KL coefficient, per nat, and dpo's beta", minimum=1e-4)
    heldout: int = option(192, "held-out prompts of each seed", minimum=8)

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_names(self.tasks, name="tasks", choices=TASKS)
        parse_seeds(self.seeds)


QUICK = Options(
    tasks="stories",
    seeds="0,1",
    samples=64,
    comparisons=32,
    samples_per_step=16,
    heldout=12,
    pretraining=20_000,
    stories=1000,
)
EXTENDABLE = frozenset({"tasks", "seeds"})


def run(options: Options, store: ResultsStore, workspace: Path) -> Results:
    """A cell for each task, arm and seed."""
    tasks = parse_names(options.tasks, name="tasks", choices=TASKS)
    seeds = parse_seeds(options.seeds)
    shared = cache(lambda name: _Shared(name, options, workspace))
    steps = options.samples // options.samples_per_step

    def cell(name: str, arm: str, seed: int) -> Cell:
        seconds = 8.0 + 20 / (len(GRADIENTS) * len(seeds))
        if arm in GRADIENTS:
            seconds += steps * SECONDS_PER_STEP.get(GRADIENTS[arm][0], 0.45)
        elif arm == DPO:
            seconds += options.comparisons * options.dpo_epochs * 0.006
        return Cell(
            name=f"{name}: {arm}, seed {seed}",
            prepare=lambda: shared(name),
            compute=lambda: {"task": name, "arm": arm, "seed": seed, **shared(name).cell(arm, seed)},
            minutes=seconds / 60,
        )

    arms = [*GRADIENTS, DPO, *(f"best of {n}" for n in BEST_OF)]
    results = store.compute_missing(cell(name, arm, seed) for seed in seeds for name in tasks for arm in arms)
    cells = list(results.values())
    return {
        "rows": [_row(cells, name, arm) for name in tasks for arm in arms],
        "order": [_difference(cells, name, *pair) for name in tasks for pair in pairwise(EXPECTED)],
    }


class _Shared:
    """What the cells of one task share: comparisons, and a reward model trained on them."""

    def __init__(self, name: str, options: Options, workspace: Path) -> None:
        self.options, self.task = options, load_task(name, options, workspace)
        count = options.comparisons
        prompts = self.task.prompts[: max(16, count // 2)]
        self.pool = Samples.generate(self.task, prompts, per_prompt=2 * -(-count // len(prompts)), seed=1)
        self.comparisons = gold_comparisons(self.pool.draw_pairs(count, seed=0), self.task, noise=0.0, seed=0)
        self.reward = train_reward(
            self.task, self.comparisons, self.pool, learning_rate=options.reward_learning_rate, seed=0
        ).model

    def cell(self, arm: str, seed: int) -> Results:
        """The results of one arm."""
        experiment = SimulatedExperiment(
            self.task, pool=self.pool, seed=seed, heldout=self.options.heldout, best_of=max(BEST_OF)
        )
        if arm in GRADIENTS:
            policy = self._policy_gradient(*GRADIENTS[arm], seed=seed)
        elif arm == DPO:
            policy = self._dpo(seed)
        else:
            return self._best_of_n(experiment, int(arm.rpartition(" ")[2]))
        return experiment.evaluate_policy(policy, scorer=self.reward.score)

    def _policy_gradient(self, estimator: str, samples_per_prompt: int, *, seed: int) -> GPT:
        options, task = self.options, self.task
        config = FinetuneConfig(
            estimator=estimator,
            steps=options.samples // options.samples_per_step,
            prompts_per_step=options.samples_per_step // samples_per_prompt,
            samples_per_prompt=samples_per_prompt,
            max_new_tokens=task.max_new_tokens,
            kl_coefficient=options.kl_coefficient,
            kl_horizon=0.0,
            seed=seed,
        )
        return tune_policy(
            task,
            self.reward,
            replace(config, learning_rate=options.learning_rate / config.updates),
            heldout_prompts=task.prompts[-16:],
            evaluate_every=options.samples,
        )

    def _dpo(self, seed: int) -> GPT:
        options, task = self.options, self.task
        policy = copy.deepcopy(task.policy)
        dpo(
            policy=policy,
            tokenizer=task.tokenizer,
            comparisons=self.comparisons,
            heldout_prompts=task.prompts[-16:],
            config=DpoConfig(
                beta=options.kl_coefficient,
                epochs=options.dpo_epochs,
                batch_size=options.samples_per_step // 2,
                learning_rate=options.dpo_learning_rate,
                heldout=0.0,
                max_new_tokens=task.max_new_tokens,
                seed=seed,
            ),
            early_stopping=without_early_stopping(options.samples, heldout_prompts=16),
            hardware=HardwareConfig(device="cpu"),
            scorer=self.reward.score,
        )
        return policy

    def _best_of_n(self, experiment: SimulatedExperiment, n: int) -> Results:
        """The expectation over all choices of n among the candidates, which varies less than one choice."""
        scores = score_samples(self.reward.score, experiment.candidates)
        return {
            **experiment.evaluate_best_of_n(scores, n=n),
            "kl": best_of_n_kl(n),
            "accuracy": pairwise_accuracy(scores, experiment.candidates.gold),
        }


def _values(cells: Sequence[Mapping[str, Any]], name: str, arm: str, metric: str) -> list[float]:
    """One value per seed, in the order of the seeds."""
    mine = sorted(
        (cell for cell in cells if (cell["task"], cell["arm"]) == (name, arm)),
        key=lambda cell: int(cell["seed"]),
    )
    return [cell[metric] for cell in mine if metric in cell]


def _row(cells: Sequence[Mapping[str, Any]], name: str, arm: str) -> Results:
    """Means over the seeds, and the win rate with its interval."""
    row: Results = {
        "task": name,
        "arm": arm,
        "win_rate": proportion_interval(_values(cells, name, arm, "win_rate")).to_dict(),
        "seconds": fmean(_values(cells, name, arm, "seconds")),
    }
    for metric in ("kl", "gold", "reward", "length", "repetition"):
        if values := _values(cells, name, arm, metric):
            row[metric] = fmean(values)
    return row


def _difference(cells: Sequence[Mapping[str, Any]], name: str, better: str, worse: str) -> Results:
    """The difference in win rate between two arms, seed by seed on the same prompts."""
    difference = paired_difference(
        _values(cells, name, better, "win_rate"), _values(cells, name, worse, "win_rate")
    )
    return {"task": name, "better": better, "worse": worse, "difference": difference.to_dict()}


def report(content: Results) -> str:
    """A table for each task, and the expected order beside the result."""
    options, summary = content["options"], content["summary"]
    about = (
        f"{options['samples']:,} completions each; the reward model and dpo learn from"
        f" {options['comparisons']:,} comparisons by gold without noise. Gold win rate over the untuned"
        f" policy on {options['heldout']} held-out prompts of each seed ({options['seeds']}), with 95 %"
        " intervals over seeds, which draw their own prompts;"
        f" {content['seconds'] / 60:.0f} minutes of computation. Expected, from Ahmadian et al."
        " (2024): rloo with 4 samples above 2 above reinforce."
    )
    lines = ["# Tuning methods at equal numbers of samples", "", about]
    for name in dict.fromkeys(row["task"] for row in summary["rows"]):
        body = [
            [
                row["arm"],
                str(Estimate(**row["win_rate"])),
                *(row.get(metric, float("nan")) for metric in _COLUMNS),
            ]
            for row in summary["rows"]
            if row["task"] == name
        ]
        lines += ["", f"## {name}", "", markdown_table(["", "gold win rate", *_COLUMNS.values()], body), ""]
        lines += [
            f"- {each['better']} minus {each['worse']}: {Estimate(**each['difference'])} (expected above 0)"
            for each in summary["order"]
            if each["task"] == name
        ]
    return "\n".join([*lines, ""])


_COLUMNS = {
    "kl": "KL, nats",
    "gold": "gold",
    "reward": "reward",
    "length": "tokens",
    "repetition": "repetition",
    "seconds": "seconds",
}


def plot(content: Results, folder: Path) -> list[Path]:
    """Win rate against the KL it took."""
    rows = content["summary"]["rows"]
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    path = folder / "estimators.svg"
    with svg_subplots(path, columns=len(tasks)) as axes:
        for ax, name in zip(axes, tasks, strict=True):
            mine = [row for row in rows if row["task"] == name]
            best_of_n = [row for row in mine if row["arm"].startswith("best of")]
            ax.plot(
                [row["kl"] for row in best_of_n],
                [row["win_rate"]["value"] for row in best_of_n],
                "s--",
                color=GREY,
                ms=4,
                label="best of " + ", ".join(map(str, BEST_OF)),
            )
            tuned = [row for row in mine if row not in best_of_n]
            for colour, row in zip(COLOURS, tuned, strict=False):
                plot_error_bars(ax, [row["kl"]], [row["win_rate"]], colour=colour, label=row["arm"])
            ax.set_title(name)
            ax.set_xlabel("KL, nats per sequence")
            ax.set_ylabel("gold win rate")
    return [path]
