"""Ways to tune a policy, at equal numbers of samples: what each makes of the same comparisons.

Every way learns from the same comparisons: through one reward model, or dpo directly, in as many passes as
asked. The policy gradients take equally many completions, into however few prompts they are divided. All are
measured by gold, which none of them saw: the win rate over the untuned policy on held-out prompts, at the KL
that was reached.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from training.gpt.config import HardwareConfig
from training.gpt.config_fields import option
from training.gpt.model import GPT
from training.rlhf.config import ControlConfig, DpoConfig, FinetuneConfig
from training.rlhf.evaluation.best_of_n import expected_best, kl_of
from training.rlhf.evaluation.win_rate import points_of
from training.rlhf.tuning.dpo import dpo
from training.rlhf.tuning.heldout_evaluation import Examiner
from training.rlhf.tuning.policy_gradient import finetune
from training.studies.intervals import Estimate, paired_interval, share_interval
from training.studies.options import names, numbers
from training.studies.plots import COLOURS, panels
from training.studies.results_store import Cell, Found, Ledger
from training.studies.reward_models import RATE, agreement, scores_of, train
from training.studies.samples import Samples, judged
from training.studies.tables import table
from training.studies.tasks import SUBJECTS, SubjectOptions, subject

# Name, estimator, and samples of each prompt.
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
RIVALS = 8
SECONDS_PER_STEP = {"ppo": 1.2}
"""On one slow core; 0.45 for the others."""


@dataclass(frozen=True, kw_only=True)
class Options(SubjectOptions):
    """Options of the study of estimators."""

    subjects: str = option("stories,reviews", "what is written")
    seeds: str = option("0,1,2", "seeds, each with held-out prompts of its own")
    samples: int = option(3200, "completions that each way learns from", minimum=64)
    comparisons: int = option(4000, "comparisons that the reward model and dpo learn from", minimum=8)
    samples_per_step: int = option(64, "completions in one update, a multiple of 4", minimum=4)
    reward_learning_rate: float = RATE
    learning_rate: float = option(
        1e-3,
        "peak learning rate of policy gradients, shared out among the updates of a batch",
        minimum=1e-6,
    )
    dpo_learning_rate: float = option(
        0.0, "peak learning rate of dpo (0: usual for the model's width)", minimum=0.0
    )
    dpo_epochs: float = option(1.0, "passes of dpo over the comparisons", minimum=0.1)
    kl_coefficient: float = option(0.1, "price of a nat, for dpo as well, fixed", minimum=1e-4)
    heldout: int = option(192, "held-out prompts of each seed", minimum=8)

    def __post_init__(self) -> None:
        super().__post_init__()
        names(self.subjects, name="subjects", choices=SUBJECTS)
        numbers(self.seeds, name="seeds", most=1e6)


QUICK = Options(
    subjects="stories",
    seeds="0,1",
    samples=64,
    comparisons=32,
    samples_per_step=16,
    heldout=12,
    pretraining=20_000,
    stories=1000,
)
GROWING = frozenset({"subjects", "seeds"})


def run(options: Options, ledger: Ledger, workspace: Path) -> Found:
    """A cell for each subject, way and seed."""
    subjects = names(options.subjects, name="subjects", choices=SUBJECTS)
    seeds = [int(seed) for seed in numbers(options.seeds, name="seeds", most=1e6)]
    prepared = cache(lambda name: _Prepared(name, options, workspace))
    steps = options.samples // options.samples_per_step

    def cell(name: str, way: str, seed: int) -> Cell:
        seconds = 8.0 + 20 / (len(GRADIENTS) * len(seeds))
        if way in GRADIENTS:
            seconds += steps * SECONDS_PER_STEP.get(GRADIENTS[way][0], 0.45)
        elif way == DPO:
            seconds += options.comparisons * options.dpo_epochs * 0.006
        return Cell(
            name=f"{name}: {way}, seed {seed}",
            prepare=lambda: prepared(name),
            compute=lambda: {"subject": name, "way": way, "seed": seed, **prepared(name).cell(way, seed)},
            minutes=seconds / 60,
        )

    ways = [*GRADIENTS, DPO, *(f"best of {n}" for n in BEST_OF)]
    found = ledger.complete(cell(name, way, seed) for seed in seeds for name in subjects for way in ways)
    done = list(found.values())
    return {
        "rows": [_row(done, name, way) for name in subjects for way in ways],
        "order": [_gap(done, name, *pair) for name in subjects for pair in pairwise(EXPECTED)],
    }


class _Prepared:
    """What the cells of one subject share: comparisons, a reward model of them, and held-out samples."""

    def __init__(self, name: str, options: Options, workspace: Path) -> None:
        self.options, self.subject = options, subject(name, options, workspace)
        count = options.comparisons
        prompts = self.subject.prompts[: max(16, count // 2)]
        pool = Samples.of(self.subject, prompts, each=2 * -(-count // len(prompts)), seed=1)
        self.comparisons = judged(pool.pairs(count, seed=0), self.subject, noise=0.0, seed=0)
        self.reward = train(
            self.subject, self.comparisons, pool, rate=options.reward_learning_rate, seed=0
        ).model

    def heldout(self, seed: int) -> tuple[Samples, Samples]:
        """To choose from, and to compare with."""
        size, prompts = self.options.heldout, self.subject.heldout
        first = seed * size % max(1, len(prompts) - size)
        mine = prompts[first : first + size]
        return (
            Samples.of(self.subject, mine, each=max(BEST_OF), seed=1000 + seed),
            Samples.of(self.subject, mine, each=RIVALS, seed=2000 + seed),
        )

    def cell(self, way: str, seed: int) -> Found:
        """What one way comes to."""
        choices, rivals = self.heldout(seed)
        if way not in GRADIENTS and way != DPO:
            return self._best_of(int(way.rpartition(" ")[2]), choices, rivals)
        policy = copy.deepcopy(self.subject.policy)
        if way == DPO:
            self._dpo(policy, seed)
        else:
            self._gradient(policy, *GRADIENTS[way], seed=seed)
        return self._measured(policy, rivals, seed)

    def _gradient(self, policy: GPT, estimator: str, samples_per_prompt: int, *, seed: int) -> None:
        options, subject = self.options, self.subject
        config = FinetuneConfig(
            estimator=estimator,
            steps=options.samples // options.samples_per_step,
            prompts_per_step=options.samples_per_step // samples_per_prompt,
            samples_per_prompt=samples_per_prompt,
            max_new_tokens=subject.max_new_tokens,
            kl_coefficient=options.kl_coefficient,
            kl_horizon=0.0,
            seed=seed,
        )
        finetune(
            policy=policy,
            tokenizer=subject.tokenizer,
            scorer=self.reward,
            prompts=subject.prompts,
            heldout_prompts=subject.prompts[-16:],
            config=replace(config, learning_rate=options.learning_rate / config.updates),
            control=self._control(options.samples),
            hardware=HardwareConfig(device="cpu"),
        )

    def _dpo(self, policy: GPT, seed: int) -> None:
        options, subject = self.options, self.subject
        dpo(
            policy=policy,
            tokenizer=subject.tokenizer,
            comparisons=self.comparisons,
            heldout_prompts=subject.prompts[-16:],
            config=DpoConfig(
                beta=options.kl_coefficient,
                epochs=options.dpo_epochs,
                batch_size=options.samples_per_step // 2,
                learning_rate=options.dpo_learning_rate,
                heldout=0.0,
                max_new_tokens=subject.max_new_tokens,
                seed=seed,
            ),
            control=self._control(options.samples),
            hardware=HardwareConfig(device="cpu"),
            scorer=self.reward.score,
        )

    def _control(self, steps: int) -> ControlConfig:
        """Nothing chooses among versions or stops early: what is compared is what all samples made."""
        return ControlConfig(
            evaluate_every=steps, heldout_prompts=16, kl_budget=0.0, patience=0, stop_window=0
        )

    def _measured(self, policy: GPT, rivals: Samples, seed: int) -> Found:
        subject = self.subject
        examiner = Examiner(
            reference=subject.policy,
            tokenizer=subject.tokenizer,
            prompts=rivals.prompts,
            most=len(rivals.prompts),
            scorer=self.reward.score,
            gold=subject.gold,
            max_new_tokens=subject.max_new_tokens,
            seed=seed,
        )
        found = examiner.examine(policy, step=0)
        assert found is not None
        theirs = dict(zip(rivals.prompts, rivals.gold, strict=True))
        points = [
            fmean(points_of(gold, rival) for rival in theirs[prompt])
            for prompt, gold in zip(examiner.prompts, found.each["gold"], strict=True)
        ]
        measures = ("kl", "gold", "reward", "length", "repetition")
        return {
            "win_rate": fmean(points),
            "win_rate_error": stdev(points) / math.sqrt(len(points)),
            **{name: found.mean(name) for name in measures},
            "example": [examiner.prompts[0], found.completions[0]],
        }

    def _best_of(self, n: int, choices: Samples, rivals: Samples) -> Found:
        """Over all choices of n among the completions, which is less noisy than one."""
        scores = scores_of(self.reward.score, choices)
        points, golds, rewards = [], [], []
        for mine, gold, theirs in zip(scores, choices.gold, rivals.gold, strict=True):
            wins = [fmean(points_of(each, rival) for rival in theirs) for each in gold]
            points.append(expected_best(mine, wins, n=n))
            golds.append(expected_best(mine, gold, n=n))
            rewards.append(expected_best(mine, mine, n=n))
        return {
            "win_rate": fmean(points),
            "win_rate_error": stdev(points) / math.sqrt(len(points)),
            "kl": kl_of(n),
            "gold": fmean(golds),
            "reward": fmean(rewards),
            "accuracy": agreement(scores, choices.gold),
        }


def _values(cells: Sequence[Mapping[str, Any]], name: str, way: str, measure: str) -> list[float]:
    """One for each seed, in their order."""
    mine = sorted(
        (cell for cell in cells if (cell["subject"], cell["way"]) == (name, way)),
        key=lambda cell: int(cell["seed"]),
    )
    return [cell[measure] for cell in mine if measure in cell]


def _row(cells: Sequence[Mapping[str, Any]], name: str, way: str) -> Found:
    """Means over the seeds, the win rate with its interval."""
    row: Found = {
        "subject": name,
        "way": way,
        "win_rate": share_interval(_values(cells, name, way, "win_rate")).to_dict(),
        "seconds": fmean(_values(cells, name, way, "seconds")),
    }
    for measure in ("kl", "gold", "reward", "length", "repetition"):
        if found := _values(cells, name, way, measure):
            row[measure] = fmean(found)
    return row


def _gap(cells: Sequence[Mapping[str, Any]], name: str, better: str, worse: str) -> Found:
    """How much more one way wins than another, seed by seed on the same prompts."""
    gap = paired_interval(_values(cells, name, better, "win_rate"), _values(cells, name, worse, "win_rate"))
    return {"subject": name, "better": better, "worse": worse, "gap": gap.to_dict()}


def report(content: Found) -> str:
    """A table for each subject, and the order that was expected beside what came out."""
    options, summary = content["options"], content["summary"]
    about = (
        f"{options['samples']:,} completions each; the reward model and dpo learn from"
        f" {options['comparisons']:,} comparisons by gold without noise. Gold win rate over the untuned"
        f" policy on {options['heldout']} held-out prompts of each seed ({options['seeds']}), with 95 %"
        " intervals over seeds, which draw their own prompts;"
        f" {content['seconds'] / 60:.0f} minutes of cells. Expected, from Ahmadian et al."
        " (2024): rloo with 4 samples above 2 above reinforce."
    )
    lines = [
        "# Ways to tune a policy, at equal samples",
        "",
        about,
    ]
    for name in dict.fromkeys(row["subject"] for row in summary["rows"]):
        body = [
            [
                row["way"],
                str(Estimate(**row["win_rate"])),
                *(row.get(measure, float("nan")) for measure in _COLUMNS),
            ]
            for row in summary["rows"]
            if row["subject"] == name
        ]
        lines += ["", f"## {name}", "", table(["", "gold win rate", *_COLUMNS.values()], body), ""]
        lines += [
            f"- {gap['better']} less {gap['worse']}: {Estimate(**gap['gap'])} (expected above 0)"
            for gap in summary["order"]
            if gap["subject"] == name
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


def draw(content: Found, folder: Path) -> list[Path]:
    """Win rate against the KL that was paid for it."""
    rows = content["summary"]["rows"]
    subjects = list(dict.fromkeys(row["subject"] for row in rows))
    path = folder / "estimators.svg"
    with panels(path, columns=len(subjects)) as axes:
        for ax, name in zip(axes, subjects, strict=True):
            mine = [row for row in rows if row["subject"] == name]
            drawn = [row for row in mine if row["way"].startswith("best of")]
            ax.plot(
                [row["kl"] for row in drawn],
                [row["win_rate"]["value"] for row in drawn],
                "s--",
                color="#7f8791",
                ms=4,
                label="best of " + ", ".join(map(str, BEST_OF)),
            )
            others = [row for row in mine if row not in drawn]
            for colour, row in zip(COLOURS, others, strict=False):
                rate = row["win_rate"]
                ax.errorbar(
                    row["kl"],
                    rate["value"],
                    yerr=[[rate["value"] - rate["low"]], [rate["high"] - rate["value"]]],
                    fmt="o",
                    color=colour,
                    capsize=3,
                    label=row["way"],
                )
            ax.set_title(name)
            ax.set_xlabel("KL, nats per sequence")
            ax.set_ylabel("gold win rate")
    return [path]
