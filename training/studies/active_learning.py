"""Active learning: do tasks selected by a reward model teach it more than random tasks?

Simulated annotators, none of them careless, compare pairs of samples in rounds. In each round an ensemble
learns from all answers so far and orders the open tasks by acquisition score; the first of that order are
annotated next. What counts, at equal numbers of annotations, is the ensemble's accuracy on held-out pairs and
the gold win rate of the samples it picks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

from training.gpt.config_fields import option
from training.gpt.errors import InputError
from training.rlhf.config import SimulatedAnnotatorsConfig
from training.rlhf.evaluation.win_rate import win_points
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.acquisition import acquisition_scores, mixed_task_order
from training.rlhf.reward.reward_model import Ensemble, RewardModel
from training.studies.intervals import mean_interval, paired_difference, proportion_interval
from training.studies.options import parse_names, parse_numbers, parse_seeds
from training.studies.plots import COLOURS, plot_band, svg_subplots
from training.studies.results_store import Cell, Results, ResultsStore
from training.studies.reward_models import (
    LEARNING_RATE,
    SECONDS_PER_COMPARISON,
    default_epochs,
    train_reward,
)
from training.studies.samples import Samples
from training.studies.simulated_experiment import SimulatedExperiment
from training.studies.tables import annotations_table, markdown_table
from training.studies.tasks import TASKS, TaskOptions, load_task

MIN_EPOCHS = 3
"""With fewer, the last round's model underfits its answers, and is worse than that of the round before."""


class Arm(NamedTuple):
    """One strategy to select the next tasks."""

    by: str  # acquisition score
    share: float  # of the tasks that are selected by it; the others are random


RANDOM = "random"
ARMS = {
    RANDOM: Arm("disagreement", 0.0),
    "disagreement": Arm("disagreement", 1.0),
    "closeness": Arm("closeness", 1.0),
    "half": Arm("disagreement", 0.5),
}
"""`half` mixes as many random tasks with those that the ensemble disagrees about."""


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """Options of the active learning study."""

    task: str = option("stories", "what the policy writes", choices=TASKS)
    annotations: str = option(
        "100,250,500,1000,2000", "numbers of annotations after each round; the first round is random"
    )
    seeds: str = option("0,1,2,3,4", "seeds; each has its own annotators, tasks and held-out prompts")
    arms: str = option(",".join(ARMS), "selection strategies, random among them")
    pool: int = option(8000, "tasks to select from, a pair of samples each", minimum=10)
    pairs_per_prompt: int = option(4, "tasks with the same prompt", minimum=1)
    members: int = option(4, "ensemble members", minimum=2, maximum=64)
    ensemble: str = option(
        "heads", "the members are heads on one trunk, or whole models", choices=("heads", "models")
    )
    annotators: int = option(10, "simulated annotators, who answer equally often", minimum=1)
    annotator_noise: float = option(
        0.5, "temperature of their choices, in standard deviations of gold", minimum=0.0
    )
    reward_learning_rate: float = LEARNING_RATE
    best_of: int = option(16, "completions that the reward chooses from", minimum=2)
    heldout: int = option(256, "held-out prompts of each seed", minimum=8)

    def __post_init__(self) -> None:
        super().__post_init__()
        rounds = parse_numbers(self.annotations, name="annotations", min_value=10, max_value=self.pool)
        if len(rounds) < 2:
            raise InputError("annotations: give two numbers or more: the first round is random in every arm")
        parse_seeds(self.seeds)
        if RANDOM not in parse_names(self.arms, name="arms", choices=list(ARMS)):
            raise InputError(f"arms: the others are compared with {RANDOM}; add it")

    @property
    def rounds(self) -> list[int]:
        """Numbers of annotations after each round, rising."""
        return [
            int(count) for count in parse_numbers(self.annotations, name="annotations", max_value=self.pool)
        ]


QUICK = Options(
    annotations="20,40,60",
    seeds="0,1",
    pool=120,
    members=2,
    annotators=3,
    best_of=4,
    heldout=12,
    pretraining=20_000,
    stories=1000,
)
EXTENDABLE = frozenset({"seeds", "arms"})


def epochs(count: int) -> int:
    """Passes over so many answers."""
    return max(MIN_EPOCHS, default_epochs(count))


def run(options: Options, store: ResultsStore, workspace: Path) -> Results:
    """A cell for each seed and arm, with all its rounds: each round is selected by the model of the last."""
    experiment = cache(lambda seed: _Experiment(options, workspace, seed))
    arms = parse_names(options.arms, name="arms", choices=list(ARMS))
    models = options.members if options.ensemble == "models" else 1
    seconds = models * sum(
        (count * epochs(count) + options.pool / 3) * SECONDS_PER_COMPARISON for count in options.rounds
    )

    def cell(seed: int, arm: str) -> Cell:
        return Cell(
            name=f"{arm}, seed {seed}",
            prepare=lambda: experiment(seed),
            compute=lambda: experiment(seed).cell(arm),
            minutes=seconds / 60,
        )

    cells = store.compute_missing(cell(seed, arm) for seed in parse_seeds(options.seeds) for arm in arms)
    return _summary(list(cells.values()), options.rounds, arms)


class _Experiment(SimulatedExperiment):
    """One seed, with a pool of tasks."""

    def __init__(self, options: Options, workspace: Path, seed: int) -> None:
        task = load_task(options.task, options, workspace)
        prompts = Random(seed).sample(task.prompts, min(options.pool, len(task.prompts)))
        per_prompt = options.pairs_per_prompt
        prompts = prompts[: -(-options.pool // per_prompt)]
        super().__init__(
            task,
            pool=Samples.generate(task, prompts, per_prompt=2 * per_prompt, seed=4000 + seed),
            seed=seed,
            heldout=options.heldout,
            best_of=options.best_of,
            annotators=SimulatedAnnotatorsConfig(
                count=options.annotators, noise=options.annotator_noise, tie_margin=0.0
            ),
        )
        self.options = options
        self.tasks = self.pool.draw_pairs(options.pool, seed=seed)
        self.draws = [Random(f"{seed} {number}").random() for number in range(len(self.tasks))]
        self.answer = cache(lambda number: self.annotate(self.tasks[number], number=number))

    def cell(self, arm: str) -> Results:
        """The results of one arm after each round."""
        annotated: list[int] = []
        open_tasks = list(range(len(self.tasks)))
        model: RewardModel | Ensemble | None = None
        rounds = []
        for count in self.options.rounds:
            batch = self._order(open_tasks, ARMS[arm], model)[: count - len(annotated)]
            batch_metrics = self._batch_metrics(batch, model)
            annotated += batch
            open_tasks = [number for number in open_tasks if number not in set(batch)]
            model = self._train(annotated)
            rounds.append({"annotations": count, **self.evaluate_reward(model.score), **batch_metrics})
        return {"seed": self.seed, "arm": arm, "rounds": rounds}

    def _order(self, open_tasks: Sequence[int], arm: Arm, model: RewardModel | Ensemble | None) -> list[int]:
        """The open tasks in the order in which they are annotated; random as long as there is no model."""
        if model is None or arm.share == 0:
            scores, share = [0.0] * len(open_tasks), 0.0
        else:
            texts = [
                (prompt, text)
                for prompt, *both in (self.tasks[number] for number in open_tasks)
                for text in both
            ]
            rewards = model.unnormalised(model.member_scores(*zip(*texts, strict=True)))
            scores, share = acquisition_scores(rewards, [2] * len(open_tasks), by=arm.by), arm.share
        order = mixed_task_order(scores, draws=[self.draws[number] for number in open_tasks], share=share)
        return [open_tasks[place.task] for place in order]

    def _train(self, annotated: Sequence[int]) -> RewardModel | Ensemble:
        return train_reward(
            self.task,
            [self.answer(number) for number in annotated],
            self.pool,
            learning_rate=self.options.reward_learning_rate,
            seed=self.seed,
            members=self.options.members,
            ensemble=self.options.ensemble,
            epochs=epochs(len(annotated)),
        ).model

    def _batch_metrics(self, batch: Sequence[int], model: RewardModel | Ensemble | None) -> Results:
        """What kind of tasks were selected.

        `gold_gap`: difference of the two samples' gold, in standard deviations. `errors`: share of answers
        against gold. `prompts`: different prompts per task. `predicted`: share of answers that the model that
        selected the tasks predicted.
        """
        answers: list[Comparison] = [self.answer(number) for number in batch]
        prompts = [answer.prompt for answer in answers]
        better = self.task.gold(prompts, [answer.chosen for answer in answers])
        worse = self.task.gold(prompts, [answer.rejected for answer in answers])
        gaps = [(a - b) / self.gold_deviation for a, b in zip(better, worse, strict=True)]
        metrics: Results = {
            "gold_gap": fmean(map(abs, gaps)),
            "errors": fmean(gap < 0 for gap in gaps),
            "prompts": len(set(prompts)) / len(prompts),
        }
        if model is not None:
            chosen = model.score(prompts, [answer.chosen for answer in answers])
            rejected = model.score(prompts, [answer.rejected for answer in answers])
            metrics["predicted"] = fmean(win_points(a, b) for a, b in zip(chosen, rejected, strict=True))
        return metrics


METRICS = ("accuracy", "win_rate")
BATCH_METRICS = {
    "predicted": "answers predicted by the model that selected them",
    "gold_gap": "difference in gold, in standard deviations",
    "errors": "answers against gold",
    "prompts": "different prompts per task",
}


def _summary(cells: Sequence[Mapping[str, Any]], counts: Sequence[int], arms: Sequence[str]) -> Results:
    """By number of annotations, the estimate of each arm and its difference from random, over seeds."""

    def values(count: int | None, arm: str, name: str) -> list[float]:
        """One value per seed; without a count, the mean over the rounds in which arms differ."""
        return [
            fmean(
                each[name]
                for each in cell["rounds"]
                if name in each and each["annotations"] in ([count] if count else counts[1:])
            )
            for cell in cells
            if cell["arm"] == arm
        ]

    def row(count: int | None) -> Results:
        estimates: Results = {"annotations": count}
        for arm in arms:
            for name in METRICS:
                mine = values(count, arm, name)
                estimates[f"{name}/{arm}"] = proportion_interval(mine).to_dict()
                if arm != RANDOM:
                    others = values(count, RANDOM, name)
                    estimates[f"{name}/{arm} - {RANDOM}"] = paired_difference(mine, others).to_dict()
            if count != counts[0]:
                for name in BATCH_METRICS:
                    estimates[f"{name}/{arm}"] = mean_interval(values(count, arm, name)).to_dict()
        return estimates

    return {"arms": list(arms), "rows": [*(row(count) for count in counts), row(None)]}


def report(content: Results) -> str:
    """Tables of accuracies and win rates, and of the tasks that were selected."""
    options, rows, arms = content["options"], content["summary"]["rows"], content["summary"]["arms"]
    titles = {
        "accuracy": "Pairwise accuracy of the reward on random held-out pairs, by gold",
        "win_rate": f"Gold win rate of the best of {options['best_of']} over the untuned policy",
    }
    about = (
        f"{options['annotators']} simulated annotators, none careless, with random errors (noise"
        f" {options['annotator_noise']:g}); {options['pool']:,} tasks of two samples to select from; an"
        f" ensemble of {options['members']} {options['ensemble']}, trained again after each round. Means over"
        f" the seeds {options['seeds']} with 95 % intervals; each seed has its own tasks, annotators and"
        f" held-out prompts, and differences are paired. {content['seconds'] / 60:.0f} minutes of computation"
        ". The first round is random in every arm; the mean is over the later ones. Expected: selected tasks"
        " teach more than random ones, disagreement more than closeness, which selects tasks that annotators"
        " are least sure of too; a mix lies between."
    )
    lines = [f"# Active learning, on {options['task']}", "", about]
    for name in METRICS:
        keys = [f"{name}/{arm}" for arm in arms]
        keys += [f"{name}/{arm} - {RANDOM}" for arm in arms if arm != RANDOM]
        lines += ["", f"{titles[name]}:", "", annotations_table(rows, keys)]
    body = [
        [text, *(rows[-1][f"{name}/{arm}"]["value"] for arm in arms)] for name, text in BATCH_METRICS.items()
    ]
    about = (
        "The tasks selected in the later rounds, on average (the first line is the accuracy that would be"
        " measured on the selected tasks):"
    )
    return "\n".join([*lines, "", about, "", markdown_table(["", *arms], body), ""])


def plot(content: Results, folder: Path) -> list[Path]:
    """Accuracy and win rate against the number of annotations."""
    rows = [row for row in content["summary"]["rows"] if row["annotations"]]
    counts = [row["annotations"] for row in rows]
    path = folder / "active_learning.svg"
    titles = {"accuracy": "pairwise accuracy, random pairs", "win_rate": "gold win rate, best of n"}
    with svg_subplots(path, columns=len(titles)) as axes:
        for ax, (name, title) in zip(axes, titles.items(), strict=True):
            for colour, arm in zip(COLOURS, content["summary"]["arms"], strict=False):
                estimates = [row[f"{name}/{arm}"] for row in rows]
                plot_band(ax, counts, estimates, colour=colour, label=_LABELS[arm])
            ax.set_xscale("log")
            ax.set_xlabel("annotations")
            ax.set_ylabel(title)
    return [path]


_LABELS = {
    RANDOM: "random",
    "disagreement": "by disagreement",
    "closeness": "by closeness",
    "half": "half by disagreement",
}
