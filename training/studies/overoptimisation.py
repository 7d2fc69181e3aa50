"""Over-optimisation: how the true worth of what is written turns, as a learned reward is pursued further.

A gold scorer answers in place of people, a share of the answers turned around. Reward models of rising
numbers of such comparisons are pursued by best-of-n and by the policy gradient, without a price on KL, and
proxy and gold are measured along the way (the set-up of Gao et al. 2022). An ensemble's most doubtful member,
or the mean less the variance, stands beside one model (Coste et al. 2023).
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from training.gpt.config import HardwareConfig
from training.gpt.config_fields import option
from training.gpt.training_loop import Hooks
from training.rlhf.config import ControlConfig, FinetuneConfig
from training.rlhf.evaluation.best_of_n import best_of_n, powers_of_two
from training.rlhf.scorers import Scorer
from training.rlhf.tuning.policy_gradient import finetune
from training.studies.options import names, numbers
from training.studies.plots import COLOURS, panels
from training.studies.results_store import Cell, Found, Ledger
from training.studies.reward_models import (
    RATE,
    SECONDS_PER_COMPARISON,
    agreement,
    passes,
    single,
    train,
)
from training.studies.samples import Samples, judged
from training.studies.tables import table
from training.studies.tasks import SUBJECTS, Subject, SubjectOptions, subject

SINGLE = "single"
SECONDS_PER_STEP = 0.45  # of the policy gradient, on one slow core


@dataclass(frozen=True, kw_only=True)
class Options(SubjectOptions):
    """Options of the over-optimisation study."""

    subject: str = option("stories", "what is written", choices=SUBJECTS)
    comparisons: str = option("250,1000,4000,16000", "numbers of comparisons to learn from")
    noise: str = option("0,0.25", "shares of the answers that are turned around")
    members: int = option(4, "reward models in the ensemble", minimum=2)
    uses: str = option("minimum,cautious", "what the policy gradient makes of the ensemble")
    reward_learning_rate: float = RATE
    steps: int = option(50, "updates of the policy", minimum=5)
    learning_rate: float = option(1e-3, "peak learning rate of the policy", minimum=1e-6)
    measure_every: int = option(5, "updates between measurements", minimum=1)
    heldout: int = option(192, "held-out prompts, one completion each, in a measurement", minimum=8)
    best_of: int = option(64, "largest n of best-of-n", minimum=2)
    best_of_prompts: int = option(128, "held-out prompts of best-of-n", minimum=8)
    seeds: str = option("0", "seeds, of everything but the policy that all begin from")

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers(self.comparisons, name="comparisons", least=2, most=16_000)
        numbers(self.noise, name="noise", most=0.5)
        numbers(self.seeds, name="seeds", most=1e6)
        names(self.uses, name="uses", choices=("mean", "minimum", "cautious"))


QUICK = Options(
    comparisons="60,240",
    noise="0",
    members=2,
    uses="minimum",
    steps=5,
    measure_every=5,
    heldout=16,
    best_of=8,
    best_of_prompts=16,
    pretraining=20_000,
    stories=1000,
)
GROWING = frozenset({"noise", "seeds"})


def run(options: Options, ledger: Ledger, workspace: Path) -> Found:
    """A cell for each number of comparisons, share of noise, and seed."""
    prepared = cache(lambda: _Prepared(options, workspace))
    uses = names(options.uses, name="uses", choices=("mean", "minimum", "cautious"))

    def cell(count: int, noise: float, seed: int) -> Cell:
        seconds = options.members * count * passes(count) * SECONDS_PER_COMPARISON
        measured = options.steps / options.measure_every * options.heldout * 0.005
        seconds += (1 + len(uses)) * (options.steps * SECONDS_PER_STEP + measured) + 16
        return Cell(
            name=f"{count} comparisons, noise {noise:g}, seed {seed}",
            prepare=prepared,
            compute=lambda: prepared().cell(uses, count=count, noise=noise, seed=seed),
            minutes=seconds / 60,
        )

    cells = [
        cell(int(count), noise, int(seed))
        for seed in numbers(options.seeds, name="seeds", most=1e6)
        for count in numbers(options.comparisons, name="comparisons", least=2, most=16_000)
        for noise in numbers(options.noise, name="noise", most=0.5)
    ]
    return {
        "rows": [_row(found, judge) for found in ledger.complete(cells).values() for judge in found["judges"]]
    }


class _Prepared:
    """What all cells share."""

    def __init__(self, options: Options, workspace: Path) -> None:
        self.options = options
        self.subject = subject(options.subject, options, workspace)
        rows = max(int(count) for count in numbers(options.comparisons, name="comparisons", most=16_000))
        learned = self.subject.prompts
        self.pool = Samples.of(self.subject, learned[: max(64, rows // 4)], each=_each(rows, learned), seed=1)
        self.heldout = self.subject.heldout[: options.heldout]
        chosen = self.subject.heldout[options.heldout :][: options.best_of_prompts]
        self.candidates = Samples.of(self.subject, chosen, each=options.best_of, seed=2)

    def cell(self, uses: Sequence[str], *, count: int, noise: float, seed: int) -> Found:
        """Reward models of so many comparisons, and how far each way of use can be pursued."""
        options, subject = self.options, self.subject
        comparisons = judged(self.pool.pairs(count, seed=seed), subject, noise=noise, seed=seed)
        result = train(
            subject,
            comparisons,
            self.pool,
            rate=options.reward_learning_rate,
            seed=1000 * seed,
            members=options.members,
        )
        one = single(result.model)
        scorers: dict[str, Scorer] = {SINGLE: one.score} | {use: result.model.scorer(use) for use in uses}
        judges = {}
        members = result.model.member_scores(*self.candidates.texts)  # [P x N, M]
        for name, scorer in scorers.items():
            column = members[:, 0] if name == SINGLE else result.model.combined(members, use=name)
            scores = column.view(len(self.candidates.prompts), -1).tolist()
            judges[name] = {
                "accuracy": agreement(scores, self.candidates.gold),
                "best_of_n": [
                    {
                        "n": n,
                        "d": math.sqrt(found.kl),
                        "proxy": found.reward,
                        "gold": found.gold,
                        "gold_error": found.gold_error,
                    }
                    for n in powers_of_two(options.best_of)
                    for found in [best_of_n(scores, self.candidates.gold, n=n)]
                ],
                "policy": pursue(subject, scorer, self.heldout, options, seed=seed),
            }
        return {"comparisons": count, "noise": noise, "seed": seed, "judges": judges}


def pursue(
    subject: Subject, scorer: Scorer, heldout: Sequence[str], options: Options, *, seed: int
) -> list[dict[str, float]]:
    """Proxy and gold on held-out prompts along a policy gradient that pays nothing for KL."""
    points: list[dict[str, float]] = []

    def watch(step: int, progress: float, metrics: Mapping[str, float]) -> None:
        del progress
        if "heldout/kl" in metrics:
            points.append(
                {
                    "step": float(step),
                    # The estimate of a KL near 0 may lie below it.
                    "d": math.sqrt(max(0.0, metrics["heldout/kl"])),
                    "proxy": metrics["heldout/reward"],
                    "gold": metrics["heldout/gold"],
                    "repetition": metrics["heldout/repetition"],
                    "length": metrics["heldout/length"],
                }
            )

    finetune(
        policy=copy.deepcopy(subject.policy),
        tokenizer=subject.tokenizer,
        scorer=scorer,
        prompts=subject.prompts,
        heldout_prompts=heldout,
        config=FinetuneConfig(
            steps=options.steps,
            max_new_tokens=subject.max_new_tokens,
            learning_rate=options.learning_rate,
            kl_coefficient=0.0,
            kl_horizon=0.0,
            seed=seed,
        ),
        # Watched only: nothing ends it early.
        control=ControlConfig(
            evaluate_every=options.measure_every,
            heldout_prompts=options.heldout,
            kl_budget=0.0,
            patience=0,
            stop_window=0,
        ),
        hardware=HardwareConfig(device="cpu"),
        gold=subject.gold,
        hooks=Hooks(on_step=watch),
    )
    return points


def fit(points: Sequence[Mapping[str, float]], *, logarithmic: bool) -> dict[str, float]:
    """Gold above its start as d (a - b d) or d (a - b log d), by least squares; and the share explained.

    The forms are those of Gao et al. (2022, section 3.1), for best-of-n and for the policy gradient.
    """
    start = points[0]["gold"]
    moved = [point for point in points if point["d"] > 0]
    d = np.array([point["d"] for point in moved])
    gold = np.array([point["gold"] - start for point in moved])
    terms = np.stack([d, -d * (np.log(d) if logarithmic else d)], axis=1)
    (a, b), *_ = np.linalg.lstsq(terms, gold, rcond=None)
    rest = float(((gold - terms @ np.array([a, b])) ** 2).sum())
    spread = float(((gold - gold.mean()) ** 2).sum())
    return {"a": float(a), "b": float(b), "explained": 1 - rest / spread if spread else 0.0}


def curve(fitted: Mapping[str, float], d: Sequence[float], *, logarithmic: bool) -> list[float]:
    """The fitted gold above its start, at each d > 0."""
    return [each * (fitted["a"] - fitted["b"] * (math.log(each) if logarithmic else each)) for each in d]


def _each(rows: int, prompts: Sequence[str]) -> int:
    """How many samples of each prompt make `rows` pairs, none of them sharing a sample."""
    return 2 * math.ceil(rows / min(len(prompts), max(64, rows // 4)))


def _row(found: Mapping[str, Any], judge: str) -> Found:
    """What a cell says of one way of use."""
    mine = found["judges"][judge]
    policy, drawn = mine["policy"], mine["best_of_n"]
    best = max(policy, key=lambda point: point["gold"])
    last = policy[-1]
    return {
        "comparisons": found["comparisons"],
        "noise": found["noise"],
        "seed": found["seed"],
        "judge": judge,
        "accuracy": mine["accuracy"],
        "best_of_n_gold": drawn[-1]["gold"],
        "best_of_n_proxy": drawn[-1]["proxy"],
        "peak_gold": best["gold"],
        "peak_d": best["d"],
        "last_gold": last["gold"],
        "last_proxy": last["proxy"],
        "last_d": last["d"],
        "lost": best["gold"] - last["gold"],
        "best_of_n_fit": fit(drawn, logarithmic=False),
        "policy_fit": fit(policy, logarithmic=True),
    }


def report(content: Found) -> str:
    """Tables: the policy gradient, best-of-n, and the fits."""
    rows, options = content["summary"]["rows"], content["options"]
    keys = ("comparisons", "noise", "judge")
    groups: dict[tuple[Any, ...], list[Found]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    found = [
        [
            f"{count:,}",
            f"{noise:.0%}",
            judge,
            *(fmean(row[name] for row in group) for name in _COLUMNS),
        ]
        for (count, noise, judge), group in sorted(groups.items(), key=lambda item: item[0][:2])
    ]
    fits = [
        [
            f"{row['comparisons']:,}",
            f"{row['noise']:.0%}",
            row["judge"],
            *(
                row[fitted][name]
                for fitted in ("best_of_n_fit", "policy_fit")
                for name in ("a", "b", "explained")
            ),
        ]
        for row in sorted(rows, key=lambda row: (row["comparisons"], row["noise"]))
    ]
    head = ["comparisons", "noise", "reward"]
    about = (
        "d is the square root of the KL in nats; gold has mean about 0 and deviation about 1 on what the"
        f" untuned policy writes. Seeds: {options['seeds']}; ensembles of {options['members']};"
        f" {content['seconds'] / 60:.0f} minutes of cells. Expected, from Gao et al. (2022) and Coste et al."
        " (2023): gold rises and then falls while the proxy rises on; later with more comparisons, sooner"
        " with noise; and an ensemble used with caution loses next to nothing."
    )
    return "\n".join(
        [
            f"# Over-optimisation, on {options['subject']}",
            "",
            about,
            "",
            table([*head, *_COLUMNS.values()], found),
            "",
            "Gold above its start, fitted by d (a - b d) for best-of-n and d (a - b log d) for the policy.",
            "",
            table([*head, "a, best-of-n", "b", "R²", "a, policy", "b", "R²"], fits),
            "",
        ]
    )


_COLUMNS = {
    "accuracy": "agrees with gold",
    "best_of_n_gold": "gold, best-of-n",
    "peak_gold": "gold at its peak",
    "peak_d": "d there",
    "last_gold": "gold at the end",
    "last_d": "d there",
    "last_proxy": "proxy there",
    "lost": "gold lost since the peak",
}


def draw(content: Found, folder: Path) -> list[Path]:
    """Gold and proxy against d, for best-of-n and for the policy gradient."""
    first = {name: cell for name, cell in content["cells"].items() if cell["seed"] == _first_seed(content)}
    noises = sorted({cell["noise"] for cell in first.values()})
    judges = list(next(iter(first.values()))["judges"])
    paths = []
    for what, logarithmic in (("best_of_n", False), ("policy", True)):
        path = folder / f"overoptimisation-{what.replace('_', '-')}.svg"
        with panels(path, rows=len(judges), columns=len(noises)) as axes:
            for place, ax in enumerate(axes):
                judge, noise = judges[place // len(noises)], noises[place % len(noises)]
                cells = [cell for cell in first.values() if cell["noise"] == noise]
                for colour, cell in zip(COLOURS, sorted(cells, key=_count), strict=False):
                    points = cell["judges"][judge][what]
                    d = [point["d"] for point in points]
                    count = f"{cell['comparisons']:,}"
                    ax.plot(d, [point["proxy"] for point in points], "--", color=colour, alpha=0.6)
                    ax.plot(d, [point["gold"] for point in points], "o", color=colour, ms=3)
                    along = np.linspace(0.05, max(*d, 0.1), 60).tolist()
                    fitted = curve(fit(points, logarithmic=logarithmic), along, logarithmic=logarithmic)
                    start = points[0]["gold"]
                    ax.plot(along, [start + each for each in fitted], color=colour, label=f"gold, {count}")
                ax.plot([], [], "--", color="#7f8791", label="proxy")
                ax.set_title(f"{judge}, {noise:.0%} noise")
                ax.set_xlabel("d = √KL")
                ax.set_ylabel("reward")
        paths.append(path)
    return paths


def _count(cell: Mapping[str, Any]) -> int:
    return int(cell["comparisons"])


def _first_seed(content: Found) -> int:
    return min(int(cell["seed"]) for cell in content["cells"].values())
