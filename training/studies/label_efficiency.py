"""Label efficiency: what is an annotation worth when some annotators answer at random?

Simulated annotators compare pairs of samples; a share of them answers at random. Three reward models are
trained on the same answers: one weights all annotators equally, one learns each annotator's reliability, and
one, the oracle, leaves the careless ones out. What counts is the gold win rate, over the untuned policy, of
the samples that each picks or of a policy tuned against it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from training.gpt.config_fields import option
from training.rlhf.config import FinetuneConfig, SimulatedAnnotatorsConfig
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.reward_model import Ensemble, RewardModel
from training.studies.intervals import paired_difference, proportion_interval
from training.studies.options import parse_numbers, parse_seeds
from training.studies.plots import COLOURS, plot_band, svg_subplots
from training.studies.results_store import Cell, Results, ResultsStore
from training.studies.reward_models import (
    LEARNING_RATE,
    SECONDS_PER_COMPARISON,
    default_epochs,
    train_reward,
)
from training.studies.samples import Samples
from training.studies.simulated_experiment import SimulatedExperiment, tune_policy
from training.studies.tables import annotations_table, markdown_table
from training.studies.tasks import TASKS, TaskOptions, load_task

EQUAL, RELIABILITY, ORACLE = "equal weights", "reliability", "oracle"
ARMS = (EQUAL, RELIABILITY, ORACLE)
"""All annotators count the same; each by the learned reliability; and the careless ones are left out."""

MAX_ANNOTATIONS = 16_000


@dataclass(frozen=True, kw_only=True)
class Options(TaskOptions):
    """Options of the label efficiency study."""

    task: str = option("stories", "what the policy writes", choices=TASKS)
    annotations: str = option("100,250,500,1000,2500,5000", "numbers of annotations to learn from")
    seeds: str = option("0,1,2,3,4", "seeds; each has its own annotators, pairs and held-out prompts")
    annotators: int = option(10, "simulated annotators, who answer equally often", minimum=2)
    careless: float = option(0.2, "share of them who answer at random", minimum=0.0, maximum=0.9)
    annotator_noise: float = option(
        0.5, "temperature of the others' choices, in standard deviations of gold", minimum=0.0
    )
    reward_learning_rate: float = LEARNING_RATE
    best_of: int = option(16, "completions that the reward chooses from", minimum=2)
    heldout: int = option(256, "held-out prompts of each seed", minimum=8)
    tuned_seeds: int = option(1, "number of seeds, from the first, that also tune a policy", minimum=0)
    steps: int = option(30, "updates of such a policy", minimum=1)
    learning_rate: float = option(1e-3, "its peak learning rate", minimum=1e-6)
    kl_coefficient: float = option(0.1, "its KL coefficient, per nat", minimum=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_numbers(self.annotations, name="annotations", min_value=10, max_value=MAX_ANNOTATIONS)
        parse_seeds(self.seeds)

    @property
    def counts(self) -> list[int]:
        """Numbers of annotations, rising."""
        numbers = parse_numbers(self.annotations, name="annotations", max_value=MAX_ANNOTATIONS)
        return [int(count) for count in numbers]


QUICK = Options(
    annotations="40,80",
    seeds="0,1",
    annotators=5,
    best_of=4,
    heldout=12,
    tuned_seeds=1,
    steps=2,
    pretraining=20_000,
    stories=1000,
)
EXTENDABLE = frozenset({"seeds"})


def run(options: Options, store: ResultsStore, workspace: Path) -> Results:
    """A cell for each number of annotations and seed, with all arms: they share answers and prompts."""
    experiment = cache(lambda seed: _Experiment(options, workspace, seed))
    seeds = parse_seeds(options.seeds)
    tuned = set(seeds[: options.tuned_seeds])

    def cell(count: int, seed: int) -> Cell:
        seconds = count * default_epochs(count) * SECONDS_PER_COMPARISON + 4
        seconds += options.steps * 0.45 + 3 if seed in tuned else 0
        return Cell(
            name=f"{count} annotations, seed {seed}" + (", tuned" if seed in tuned else ""),
            prepare=lambda: experiment(seed),
            compute=lambda: experiment(seed).cell(count, tune=seed in tuned),
            minutes=len(ARMS) * seconds / 60,
        )

    cells = store.compute_missing(cell(count, seed) for seed in seeds for count in options.counts)
    return _summary(list(cells.values()), options.counts)


class _Experiment(SimulatedExperiment):
    """One seed; some of its annotators are careless."""

    def __init__(self, options: Options, workspace: Path, seed: int) -> None:
        task = load_task(options.task, options, workspace)
        max_count = max(options.counts)
        prompts = task.prompts[: max(64, max_count // 4)]
        super().__init__(
            task,
            pool=Samples.generate(task, prompts, per_prompt=2 * -(-max_count // len(prompts)), seed=1),
            seed=seed,
            heldout=options.heldout,
            best_of=options.best_of,
            annotators=SimulatedAnnotatorsConfig(
                count=options.annotators,
                noise=options.annotator_noise,
                careless=options.careless,
                tie_margin=0.0,
            ),
        )
        self.options = options
        self.careless = {annotator.name for annotator in self.annotators if annotator.careless}

    def cell(self, count: int, *, tune: bool) -> Results:
        """The results of all arms, from the same `count` answers."""
        pairs = self.pool.draw_pairs(count, seed=self.seed)
        answers = [self.annotate(pair, number=number) for number, pair in enumerate(pairs)]
        careful = [answer for answer in answers if answer.annotator not in self.careless]
        return {
            "annotations": count,
            "seed": self.seed,
            "arms": {
                EQUAL: self._arm(answers, tune=tune),
                RELIABILITY: self._arm(answers, tune=tune, reliability=True),
                ORACLE: self._arm(careful, tune=tune),
            },
        }

    def _arm(self, answers: Sequence[Comparison], *, tune: bool, reliability: bool = False) -> Results:
        reward = train_reward(
            self.task,
            answers,
            self.pool,
            learning_rate=self.options.reward_learning_rate,
            seed=self.seed,
            reliability=reliability,
        )
        results = self.evaluate_reward(reward.model.score)
        if reliability:
            results["reliabilities"] = {
                kind: [
                    each["reliability"]
                    for each in reward.metrics["annotators"]
                    if (each["annotator"] in self.careless) == is_careless
                ]
                for kind, is_careless in (("careless", True), ("careful", False))
            }
        if tune:
            results |= self._tune(reward.model)
        return results

    def _tune(self, scorer: RewardModel | Ensemble) -> Results:
        """Gold win rate and KL of a policy tuned against the scorer."""
        options = self.options
        policy = tune_policy(
            self.task,
            scorer,
            FinetuneConfig(
                steps=options.steps,
                max_new_tokens=self.task.max_new_tokens,
                learning_rate=options.learning_rate,
                kl_coefficient=options.kl_coefficient,
                kl_horizon=0.0,
                seed=self.seed,
            ),
            heldout_prompts=self.task.prompts[-64:],
            evaluate_every=options.steps,
        )
        results = self.evaluate_policy(policy)
        return {"tuned_win_rate": results["win_rate"], "tuned_kl": results["kl"]}


METRICS = ("win_rate", "accuracy", "tuned_win_rate")


def _summary(cells: Sequence[Mapping[str, Any]], counts: Sequence[int]) -> Results:
    """By number of annotations, the estimate of each arm and its difference from equal weights."""

    def values(count: int | None, arm: str, name: str) -> list[float]:
        """One value per seed; without a count, the mean over all numbers of annotations."""
        by_seed: dict[int, list[float]] = {}
        for cell in cells:
            if (count is None or cell["annotations"] == count) and name in cell["arms"][arm]:
                by_seed.setdefault(cell["seed"], []).append(cell["arms"][arm][name])
        return [fmean(found) for found in by_seed.values()]

    def row(count: int | None) -> Results:
        estimates: Results = {"annotations": count}
        for name in METRICS:
            for arm in ARMS:
                if mine := values(count, arm, name):
                    estimates[f"{name}/{arm}"] = proportion_interval(mine).to_dict()
                    if arm != EQUAL:
                        others = values(count, EQUAL, name)
                        estimates[f"{name}/{arm} - {EQUAL}"] = paired_difference(mine, others).to_dict()
        return estimates

    return {"rows": [*(row(count) for count in counts), row(None)]}


def report(content: Results) -> str:
    """Tables of win rates, accuracies and learned reliabilities."""
    options, rows = content["options"], content["summary"]["rows"]
    about = (
        f"{options['annotators']} simulated annotators, {options['careless']:.0%} of whom answer at random."
        f" Means over the seeds {options['seeds']} with 95 % intervals; each seed has its own pairs,"
        f" annotators and held-out prompts, and differences are paired. {content['seconds'] / 60:.0f} minutes"
        " of computation. The oracle leaves the careless annotators out. Expected: reliability lies between"
        " equal weights and the oracle, and gains most where there are enough answers of each annotator to"
        " estimate it, but too few answers to learn everything."
    )
    lines = [f"# Label efficiency, on {options['task']}", "", about]
    titles = {
        "win_rate": f"Gold win rate of the best of {options['best_of']} over the untuned policy",
        "accuracy": "Pairwise accuracy of the reward on held-out pairs, by gold",
        "tuned_win_rate": f"Gold win rate of a policy tuned for {options['steps']} steps (number of seeds:"
        f" {options['tuned_seeds']})",
    }
    for name in METRICS:
        keys = [f"{name}/{arm}" for arm in ARMS] + [f"{name}/{arm} - {EQUAL}" for arm in ARMS[1:]]
        if keys[0] in rows[0]:
            lines += ["", titles[name] + ":", "", annotations_table(rows, keys)]
    lines += ["", "Learned reliability (1: answers as the reward says; 0.5: at random):", ""]
    lines.append(markdown_table(["annotations", "careful", "careless"], _reliabilities(content)))
    return "\n".join([*lines, ""])


def _reliabilities(content: Results) -> list[list[object]]:
    """Rows: number of annotations, mean learned reliability of careful and of careless annotators."""
    by_count: dict[int, dict[str, list[float]]] = {}
    for cell in content["cells"].values():
        kinds = by_count.setdefault(cell["annotations"], {"careful": [], "careless": []})
        for kind, values in cell["arms"][RELIABILITY]["reliabilities"].items():
            kinds[kind] += values
    return [
        [f"{count:,}", *(fmean(values) if values else float("nan") for values in kinds.values())]
        for count, kinds in sorted(by_count.items())
    ]


def plot(content: Results, folder: Path) -> list[Path]:
    """Win rate and accuracy against the number of annotations."""
    rows = [row for row in content["summary"]["rows"] if row["annotations"]]
    path = folder / "label_efficiency.svg"
    titles = {"win_rate": "gold win rate, best of n", "accuracy": "pairwise accuracy"}
    if any(f"tuned_win_rate/{EQUAL}" in row for row in rows):
        titles["tuned_win_rate"] = "gold win rate, tuned policy"
    with svg_subplots(path, columns=len(titles)) as axes:
        for ax, (name, title) in zip(axes, titles.items(), strict=True):
            for colour, arm in zip(COLOURS, ARMS, strict=False):
                key = f"{name}/{arm}"
                counts = [row["annotations"] for row in rows if key in row]
                estimates = [row[key] for row in rows if key in row]
                plot_band(ax, counts, estimates, colour=colour, label=_LABELS[arm])
            ax.set_xscale("log")
            ax.set_xlabel("annotations")
            ax.set_ylabel(title)
    return [path]


_LABELS = {EQUAL: "equal weights", RELIABILITY: "learned reliability", ORACLE: "careless left out"}
