"""Over-optimisation: how gold reward falls as a learned proxy reward is optimised further.

A gold scorer answers in place of people, with a share of its answers flipped. Reward models trained on more
and more such comparisons are optimised by best-of-n and by a policy gradient without a KL penalty, while
proxy and gold are measured (the set-up of Gao et al. 2022). A single model is compared with an ensemble's
minimum, and with its mean less its variance (Coste et al. 2023).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from training.gpt.config_fields import option
from training.gpt.training_loop import Callbacks
from training.rlhf.config import FinetuneConfig
from training.rlhf.evaluation.best_of_n import best_of_n, powers_of_two
from training.rlhf.reward_functions import Scorer
from training.studies.options import parse_names, parse_numbers, parse_seeds
from training.studies.plots import COLOURS, GREY, svg_subplots
from training.studies.results_store import Cell, Results, ResultsStore
from training.studies.reward_models import (
    LEARNING_RATE,
    SECONDS_PER_COMPARISON,
    default_epochs,
    first_member,
    pairwise_accuracy,
    train_reward,
)
from training.studies.samples import Samples, gold_comparisons
from training.studies.simulated_experiment import tune_policy
from training.studies.tables import markdown_table
from training.studies.tasks import TASKS, StudyTask, TaskOptions, load_task

SINGLE = "single"
AGGREGATIONS = ("mean", "minimum", "cautious")
MAX_COMPARISONS = 16_000
SECONDS_PER_STEP = 0.45  # of the policy gradient, on one slow core


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """Options of the over-optimisation study."""

    task: str = option("stories", "what the policy writes", choices=TASKS)
    comparisons: str = option("250,1000,4000,16000", "numbers of comparisons to learn from")
    noise: str = option("0,0.25", "shares of the answers that are flipped")
    members: int = option(4, "ensemble members", minimum=2)
    aggregations: str = option("minimum,cautious", "how the ensemble's scores become one reward")
    reward_learning_rate: float = LEARNING_RATE
    steps: int = option(50, "updates of the policy", minimum=5)
    learning_rate: float = option(1e-3, "peak learning rate of the policy", minimum=1e-6)
    measure_every: int = option(5, "updates between measurements", minimum=1)
    heldout: int = option(192, "held-out prompts of a measurement, one completion each", minimum=8)
    best_of: int = option(64, "largest n of best-of-n", minimum=2)
    best_of_prompts: int = option(128, "held-out prompts of best-of-n", minimum=8)
    seeds: str = option("0", "seeds of everything but the initial policy")

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_numbers(self.comparisons, name="comparisons", min_value=2, max_value=MAX_COMPARISONS)
        parse_numbers(self.noise, name="noise", max_value=0.5)
        parse_seeds(self.seeds)
        parse_names(self.aggregations, name="aggregations", choices=AGGREGATIONS)

    @property
    def counts(self) -> list[int]:
        """Numbers of comparisons, rising."""
        numbers = parse_numbers(self.comparisons, name="comparisons", max_value=MAX_COMPARISONS)
        return [int(count) for count in numbers]


QUICK = Options(
    comparisons="60,240",
    noise="0",
    members=2,
    aggregations="minimum",
    steps=5,
    measure_every=5,
    heldout=16,
    best_of=8,
    best_of_prompts=16,
    pretraining=20_000,
    stories=1000,
)
EXTENDABLE = frozenset({"noise", "seeds"})


def run(options: Options, store: ResultsStore, workspace: Path) -> Results:
    """A cell for each number of comparisons, share of noise, and seed."""
    experiment = cache(lambda: _Experiment(options, workspace))
    aggregations = parse_names(options.aggregations, name="aggregations", choices=AGGREGATIONS)

    def cell(count: int, noise: float, seed: int) -> Cell:
        seconds = options.members * count * default_epochs(count) * SECONDS_PER_COMPARISON
        evaluation = options.steps / options.measure_every * options.heldout * 0.005
        seconds += (1 + len(aggregations)) * (options.steps * SECONDS_PER_STEP + evaluation) + 16
        return Cell(
            name=f"{count} comparisons, noise {noise:g}, seed {seed}",
            prepare=experiment,
            compute=lambda: experiment().cell(aggregations, count=count, noise=noise, seed=seed),
            minutes=seconds / 60,
        )

    cells = store.compute_missing(
        cell(count, noise, seed)
        for seed in parse_seeds(options.seeds)
        for count in options.counts
        for noise in parse_numbers(options.noise, name="noise", max_value=0.5)
    )
    return {"rows": [_row(results, reward) for results in cells.values() for reward in results["rewards"]]}


class _Experiment:
    """What all cells share."""

    def __init__(self, options: Options, workspace: Path) -> None:
        self.options = options
        self.task = load_task(options.task, options, workspace)
        prompts = self.task.prompts[: max(64, max(options.counts) // 4)]
        self.pool = Samples.generate(
            self.task, prompts, per_prompt=2 * math.ceil(max(options.counts) / len(prompts)), seed=1
        )
        self.heldout = self.task.heldout[: options.heldout]
        prompts = self.task.heldout[options.heldout :][: options.best_of_prompts]
        self.candidates = Samples.generate(self.task, prompts, per_prompt=options.best_of, seed=2)

    def cell(self, aggregations: Sequence[str], *, count: int, noise: float, seed: int) -> Results:
        """Train reward models on so many comparisons, and optimise against each."""
        options, task = self.options, self.task
        comparisons = gold_comparisons(self.pool.draw_pairs(count, seed=seed), task, noise=noise, seed=seed)
        ensemble = train_reward(
            task,
            comparisons,
            self.pool,
            learning_rate=options.reward_learning_rate,
            seed=1000 * seed,
            members=options.members,
        ).model
        scorers: dict[str, Scorer] = {SINGLE: first_member(ensemble).score}
        scorers |= {name: ensemble.scorer(name) for name in aggregations}
        member_scores = ensemble.member_scores(*self.candidates.flatten())  # [P x N, M]
        rewards = {}
        for name, scorer in scorers.items():
            column = (
                member_scores[:, 0]
                if name == SINGLE
                else ensemble.aggregate_normalised(member_scores, aggregation=name)
            )
            scores = column.view(len(self.candidates.prompts), -1).tolist()
            rewards[name] = {
                "accuracy": pairwise_accuracy(scores, self.candidates.gold),
                "best_of_n": [
                    {
                        "n": n,
                        "d": math.sqrt(result.kl),
                        "proxy": result.reward,
                        "gold": result.gold,
                        "gold_error": result.gold_error,
                    }
                    for n in powers_of_two(options.best_of)
                    for result in [best_of_n(scores, self.candidates.gold, n=n)]
                ],
                "policy": optimise_policy(task, scorer, self.heldout, options, seed=seed),
            }
        return {"comparisons": count, "noise": noise, "seed": seed, "rewards": rewards}


def optimise_policy(
    task: StudyTask, scorer: Scorer, heldout: Sequence[str], options: Options, *, seed: int
) -> list[dict[str, float]]:
    """Proxy and gold on held-out prompts during a policy gradient without a KL penalty."""
    points: list[dict[str, float]] = []

    def record(step: int, progress: float, metrics: Mapping[str, float]) -> None:
        del progress
        if "heldout/kl" in metrics:
            points.append(
                {
                    "step": float(step),
                    # The estimate of a small KL can be negative.
                    "d": math.sqrt(max(0.0, metrics["heldout/kl"])),
                    "proxy": metrics["heldout/reward"],
                    "gold": metrics["heldout/gold"],
                    "repetition": metrics["heldout/repetition"],
                    "length": metrics["heldout/length"],
                }
            )

    tune_policy(
        task,
        scorer,
        FinetuneConfig(
            steps=options.steps,
            max_new_tokens=task.max_new_tokens,
            learning_rate=options.learning_rate,
            kl_coefficient=0.0,
            kl_horizon=0.0,
            seed=seed,
        ),
        heldout_prompts=heldout,
        evaluate_every=options.measure_every,
        gold=task.gold,
        callbacks=Callbacks(on_step=record),
    )
    return points


def fit_curve(points: Sequence[Mapping[str, float]], *, logarithmic: bool) -> dict[str, float]:
    """Fit the gain in gold by d (a - b d), or d (a - b log d), with least squares; `explained` is R².

    The forms of Gao et al. (2022, section 3.1) for best-of-n and for reinforcement learning.
    """
    start = points[0]["gold"]
    later = [point for point in points if point["d"] > 0]
    d = np.array([point["d"] for point in later])
    gold = np.array([point["gold"] - start for point in later])
    terms = np.stack([d, -d * (np.log(d) if logarithmic else d)], axis=1)
    (a, b), *_ = np.linalg.lstsq(terms, gold, rcond=None)
    residual = float(((gold - terms @ np.array([a, b])) ** 2).sum())
    total = float(((gold - gold.mean()) ** 2).sum())
    return {"a": float(a), "b": float(b), "explained": 1 - residual / total if total else 0.0}


def evaluate_curve(fitted: Mapping[str, float], d: Sequence[float], *, logarithmic: bool) -> list[float]:
    """The fitted gain in gold at each d > 0."""
    return [each * (fitted["a"] - fitted["b"] * (math.log(each) if logarithmic else each)) for each in d]


def _row(results: Mapping[str, Any], reward: str) -> Results:
    """A row of the summary: one reward of one cell."""
    mine = results["rewards"][reward]
    policy, drawn = mine["policy"], mine["best_of_n"]
    peak = max(policy, key=lambda point: point["gold"])
    last = policy[-1]
    return {
        "comparisons": results["comparisons"],
        "noise": results["noise"],
        "seed": results["seed"],
        "reward": reward,
        "accuracy": mine["accuracy"],
        "best_of_n_gold": drawn[-1]["gold"],
        "best_of_n_proxy": drawn[-1]["proxy"],
        "peak_gold": peak["gold"],
        "peak_d": peak["d"],
        "last_gold": last["gold"],
        "last_proxy": last["proxy"],
        "last_d": last["d"],
        "lost": peak["gold"] - last["gold"],
        "best_of_n_fit": fit_curve(drawn, logarithmic=False),
        "policy_fit": fit_curve(policy, logarithmic=True),
    }


def report(content: Results) -> str:
    """Tables of the policy gradient, of best-of-n, and of the fitted curves."""
    rows, options = content["summary"]["rows"], content["options"]
    keys = ("comparisons", "noise", "reward")
    groups: dict[tuple[Any, ...], list[Results]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    means = [
        [
            f"{count:,}",
            f"{noise:.0%}",
            reward,
            *(fmean(row[name] for row in group) for name in _COLUMNS),
        ]
        for (count, noise, reward), group in sorted(groups.items(), key=lambda item: item[0][:2])
    ]
    fits = [
        [
            f"{row['comparisons']:,}",
            f"{row['noise']:.0%}",
            row["reward"],
            *(row[fit][name] for fit in ("best_of_n_fit", "policy_fit") for name in ("a", "b", "explained")),
        ]
        for row in sorted(rows, key=lambda row: (row["comparisons"], row["noise"]))
    ]
    about = (
        "d is the square root of the KL in nats; gold has mean about 0 and standard deviation about 1 on the"
        f" untuned policy's samples. Seeds: {options['seeds']}; ensembles of {options['members']};"
        f" {content['seconds'] / 60:.0f} minutes of computation. Expected, from Gao et al. (2022) and Coste"
        " et al. (2023): gold rises and then falls while the proxy keeps rising; later with more comparisons,"
        " sooner with noise; and an ensemble with a conservative aggregation loses next to nothing."
    )
    return "\n".join(
        [
            f"# Over-optimisation, on {options['task']}",
            "",
            about,
            "",
            markdown_table([*keys, *_COLUMNS.values()], means),
            "",
            "Gain in gold, fitted by d (a - b d) for best-of-n and d (a - b log d) for the policy.",
            "",
            markdown_table([*keys, "a, best-of-n", "b", "R²", "a, policy", "b", "R²"], fits),
            "",
        ]
    )


_COLUMNS = {
    "accuracy": "pairwise accuracy",
    "best_of_n_gold": "gold, best-of-n",
    "peak_gold": "peak gold",
    "peak_d": "d at the peak",
    "last_gold": "final gold",
    "last_d": "final d",
    "last_proxy": "final proxy",
    "lost": "gold lost since the peak",
}


def plot(content: Results, folder: Path) -> list[Path]:
    """Gold and proxy against d, for best-of-n and for the policy gradient; of the first seed."""
    first_seed = min(int(cell["seed"]) for cell in content["cells"].values())
    cells = [cell for cell in content["cells"].values() if cell["seed"] == first_seed]
    cells.sort(key=lambda cell: int(cell["comparisons"]))
    noises = sorted({cell["noise"] for cell in cells})
    rewards = list(cells[0]["rewards"])
    paths = []
    for method, logarithmic in (("best_of_n", False), ("policy", True)):
        path = folder / f"overoptimisation-{method.replace('_', '-')}.svg"
        with svg_subplots(path, rows=len(rewards), columns=len(noises)) as axes:
            for place, ax in enumerate(axes):
                reward, noise = rewards[place // len(noises)], noises[place % len(noises)]
                shown = [cell for cell in cells if cell["noise"] == noise]
                for colour, cell in zip(COLOURS, shown, strict=False):
                    points = cell["rewards"][reward][method]
                    d = [point["d"] for point in points]
                    ax.plot(d, [point["proxy"] for point in points], "--", color=colour, alpha=0.6)
                    ax.plot(d, [point["gold"] for point in points], "o", color=colour, ms=3)
                    x = np.linspace(0.05, max(*d, 0.1), 60).tolist()
                    fit = fit_curve(points, logarithmic=logarithmic)
                    gains = evaluate_curve(fit, x, logarithmic=logarithmic)
                    ax.plot(
                        x,
                        [points[0]["gold"] + gain for gain in gains],
                        color=colour,
                        label=f"gold, {cell['comparisons']:,}",
                    )
                ax.plot([], [], "--", color=GREY, label="proxy")
                ax.set_title(f"{reward}, {noise:.0%} noise")
                ax.set_xlabel("d = √KL")
                ax.set_ylabel("reward")
        paths.append(path)
    return paths
