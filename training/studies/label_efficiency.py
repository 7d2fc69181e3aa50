"""Label efficiency: what an annotation buys, when some annotators answer at random.

Simulated people of one taste judge pairs of samples; a share of them does not look. From the same answers a
reward model is trained that counts all alike, one that learns each annotator's reliability, and one that is
told who is careless, which is the most that knowing them could bring. What counts is the gold win rate of
what each picks, or of a policy tuned against it, over the untuned policy.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from training.gpt.config import HardwareConfig
from training.gpt.config_fields import option
from training.rlhf.config import AnnotatorsConfig, ControlConfig, FinetuneConfig
from training.rlhf.evaluation.win_rate import points_of
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.feedback.simulated_annotators import SimulatedAnnotator, simulated_annotators
from training.rlhf.scorers import Scorer
from training.rlhf.tuning.heldout_evaluation import Examiner
from training.rlhf.tuning.policy_gradient import finetune
from training.studies.intervals import Estimate, paired_interval, share_interval
from training.studies.options import numbers
from training.studies.plots import COLOURS, panels
from training.studies.results_store import Cell, Found, Ledger
from training.studies.reward_models import (
    RATE,
    SECONDS_PER_COMPARISON,
    agreement,
    best_of_n,
    passes,
    scores_of,
    train,
)
from training.studies.samples import Samples
from training.studies.tables import table
from training.studies.tasks import SUBJECTS, SubjectOptions, subject

ARMS = ("alike", "reliability", "told")
"""All count alike; each by the learned reliability; and the careless left out, as if they were known."""

RIVALS = 8
"""Completions of the untuned policy that each choice is compared with."""


@dataclass(frozen=True, kw_only=True)
class Options(SubjectOptions):
    """Options of the label efficiency study."""

    subject: str = option("stories", "what is written", choices=SUBJECTS)
    annotations: str = option("100,250,500,1000,2500,5000", "numbers of annotations to learn from")
    seeds: str = option("0,1,2,3,4", "seeds, each with people, pairs and held-out prompts of its own")
    annotators: int = option(10, "people who answer, equally often", minimum=2)
    careless: float = option(
        0.2, "share of them who answer at random, whatever they are shown", minimum=0.0, maximum=0.9
    )
    annotator_noise: float = option(
        0.5, "temperature of the others' choices, in deviations of the taste", minimum=0.0
    )
    reward_learning_rate: float = RATE
    best_of: int = option(16, "completions that the reward chooses from", minimum=2)
    heldout: int = option(256, "held-out prompts of each seed", minimum=8)
    tuned: int = option(1, "seeds, the first ones, for which a policy is tuned as well", minimum=0)
    steps: int = option(30, "updates of such a policy", minimum=1)
    learning_rate: float = option(1e-3, "its peak learning rate", minimum=1e-6)
    kl_coefficient: float = option(0.1, "its price of a nat", minimum=0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers(self.annotations, name="annotations", least=10, most=16_000)
        numbers(self.seeds, name="seeds", most=1e6)


QUICK = Options(
    annotations="40,80",
    seeds="0,1",
    annotators=5,
    best_of=4,
    heldout=12,
    tuned=1,
    steps=2,
    pretraining=20_000,
    stories=1000,
)
GROWING = frozenset({"seeds"})


def run(options: Options, ledger: Ledger, workspace: Path) -> Found:
    """A cell for each number of annotations and seed, with all arms in it: they share answers and prompts."""
    prepared = cache(lambda seed: _Prepared(options, workspace, seed))
    seeds = [int(seed) for seed in numbers(options.seeds, name="seeds", most=1e6)]
    counts = [int(count) for count in numbers(options.annotations, name="annotations", most=16_000)]
    tuned = set(seeds[: options.tuned])

    def cell(count: int, seed: int) -> Cell:
        each = count * passes(count) * SECONDS_PER_COMPARISON + 4
        each += options.steps * 0.45 + 3 if seed in tuned else 0
        return Cell(
            name=f"{count} annotations, seed {seed}" + (", tuned" if seed in tuned else ""),
            prepare=lambda: prepared(seed),
            compute=lambda: prepared(seed).cell(count, tune=seed in tuned),
            minutes=len(ARMS) * each / 60,
        )

    found = ledger.complete(cell(count, seed) for seed in seeds for count in counts)
    return _summary(list(found.values()), counts)


class _Prepared:
    """What the cells of one seed share."""

    def __init__(self, options: Options, workspace: Path, seed: int) -> None:
        self.options, self.seed = options, seed
        self.subject = subject(options.subject, options, workspace)
        most = max(numbers(options.annotations, name="annotations", most=16_000))
        learned = self.subject.prompts
        prompts = learned[: max(64, int(most) // 4)]
        self.pool = Samples.of(self.subject, prompts, each=2 * -(-int(most) // len(prompts)), seed=1)
        heldout = self.subject.heldout
        first = seed * options.heldout % max(1, len(heldout) - options.heldout)
        mine = heldout[first : first + options.heldout]
        self.choices = Samples.of(self.subject, mine, each=options.best_of, seed=1000 + seed)
        self.rivals = Samples.of(self.subject, mine, each=RIVALS, seed=2000 + seed)
        self.people = _people(options, self.subject.gold, self.pool, seed=seed)

    def cell(self, count: int, *, tune: bool) -> Found:
        """All arms, from the same `count` answers."""
        answers = _answers(self.people, self.pool.pairs(count, seed=self.seed))
        careless = {person.name for person in self.people if person.careless}
        known = [pair for pair in answers if pair.annotator not in careless]
        return {
            "annotations": count,
            "seed": self.seed,
            "arms": {
                "alike": self._arm(answers, tune=tune),
                "reliability": self._arm(answers, tune=tune, reliability=True),
                "told": self._arm(known, tune=tune),
            },
        }

    def _arm(self, answers: Sequence[Comparison], *, tune: bool, reliability: bool = False) -> Found:
        options, subject = self.options, self.subject
        result = train(
            subject,
            answers,
            self.pool,
            rate=options.reward_learning_rate,
            seed=self.seed,
            reliability=reliability,
        )
        scores = scores_of(result.model.score, self.choices)
        found: Found = {
            "accuracy": agreement(scores, self.choices.gold),
            **best_of_n(scores, self.choices, self.rivals),
        }
        if reliability:
            careless = {person.name for person in self.people if person.careless}
            found["reliabilities"] = {
                side: [
                    each["reliability"]
                    for each in result.metrics["annotators"]
                    if (each["annotator"] in careless) == mine
                ]
                for side, mine in (("careless", True), ("careful", False))
            }
        if tune:
            found |= self._tuned(result.model)
        return found

    def _tuned(self, scorer: Scorer | Any) -> Found:
        """The same of a policy tuned against the scorer."""
        options, subject = self.options, self.subject
        policy = copy.deepcopy(subject.policy)
        finetune(
            policy=policy,
            tokenizer=subject.tokenizer,
            scorer=scorer,
            prompts=subject.prompts,
            heldout_prompts=subject.prompts[-64:],
            config=FinetuneConfig(
                steps=options.steps,
                max_new_tokens=subject.max_new_tokens,
                learning_rate=options.learning_rate,
                kl_coefficient=options.kl_coefficient,
                kl_horizon=0.0,
                seed=self.seed,
            ),
            control=ControlConfig(evaluate_every=options.steps, kl_budget=0.0, stop_window=0),
            hardware=HardwareConfig(device="cpu"),
        )
        examiner = Examiner(
            reference=subject.policy,
            tokenizer=subject.tokenizer,
            prompts=self.rivals.prompts,
            most=len(self.rivals.prompts),
            gold=subject.gold,
            max_new_tokens=subject.max_new_tokens,
            seed=self.seed,
        )
        found = examiner.examine(policy, step=options.steps)
        assert found is not None
        wins = dict(zip(self.rivals.prompts, self.rivals.gold, strict=True))
        points = [
            fmean(points_of(gold, rival) for rival in wins[prompt])
            for prompt, gold in zip(examiner.prompts, found.each["gold"], strict=True)
        ]
        return {"tuned_win_rate": fmean(points), "tuned_kl": found.kl}


def _people(options: Options, gold: Scorer, pool: Samples, *, seed: int) -> list[SimulatedAnnotator]:
    config = AnnotatorsConfig(
        count=options.annotators,
        noise=options.annotator_noise,
        careless=options.careless,
        tie_margin=0.0,
        seed=seed,
    )
    deviation = pstdev([score for row in pool.gold for score in row])
    return simulated_annotators(config, gold, deviation=deviation)


def _answers(people: Sequence[SimulatedAnnotator], pairs: Sequence[tuple[str, str, str]]) -> list[Comparison]:
    """Each pair judged by one person; they take turns."""
    answers = []
    for place, (prompt, one, other) in enumerate(pairs):
        person = people[place % len(people)]
        first, second = person.rank(prompt, [one, other])
        better, worse = (one, other) if first <= second else (other, one)
        answers.append(
            Comparison(
                prompt=prompt, chosen=better, rejected=worse, tie=first == second, annotator=person.name
            )
        )
    return answers


def _summary(cells: Sequence[Mapping[str, Any]], counts: Sequence[int]) -> Found:
    """By number of annotations, each arm and how much more it is than counting all alike; over seeds."""

    def values(count: int | None, arm: str, name: str) -> list[float]:
        """One for each seed; over all numbers of annotations, their mean."""
        by_seed: dict[int, list[float]] = {}
        for cell in cells:
            if (count is None or cell["annotations"] == count) and name in cell["arms"][arm]:
                by_seed.setdefault(cell["seed"], []).append(cell["arms"][arm][name])
        return [fmean(found) for found in by_seed.values()]

    def row(count: int | None) -> Found:
        found: Found = {"annotations": count}
        for name in ("win_rate", "accuracy", "tuned_win_rate"):
            for arm in ARMS:
                if mine := values(count, arm, name):
                    found[f"{name}/{arm}"] = share_interval(mine).to_dict()
                    if arm != "alike":
                        others = values(count, "alike", name)
                        found[f"{name}/{arm} - alike"] = paired_interval(mine, others).to_dict()
        return found

    return {"rows": [*(row(count) for count in counts), row(None)]}


def report(content: Found) -> str:
    """Tables of win rates, of accuracies, and of what reliability was found."""
    options, rows = content["options"], content["summary"]["rows"]
    about = (
        f"{options['annotators']} simulated annotators, {options['careless']:.0%} of whom answer at random;"
        f" means over the seeds {options['seeds']} with 95 % intervals, each seed with pairs, people and"
        f" held-out prompts of its own; differences are paired. {content['seconds'] / 60:.0f} minutes of"
        " cells. Expected: reliability lies between counting all alike and leaving the careless out, which"
        " gains most where there are enough answers of each person to tell, and too few to learn all from."
    )
    lines = [
        f"# Label efficiency, on {options['subject']}",
        "",
        about,
    ]
    titles = {
        "win_rate": f"Gold win rate, over the untuned policy, of the best of {options['best_of']}",
        "accuracy": "Share of held-out pairs that the reward orders as gold does",
        "tuned_win_rate": f"Gold win rate of a policy tuned in {options['steps']} steps (seeds: the first"
        f" {options['tuned']})",
    }
    for name, title in titles.items():
        heads = [f"{name}/{arm}" for arm in ARMS] + [f"{name}/{arm} - alike" for arm in ARMS[1:]]
        if heads[0] not in rows[0]:
            continue
        body = [
            [
                f"{row['annotations']:,}" if row["annotations"] else "mean",
                *(str(Estimate(**row[head])) for head in heads),
            ]
            for row in rows
        ]
        lines += [
            "",
            title + ":",
            "",
            table(["annotations", *(head.partition("/")[2] for head in heads)], body),
        ]
    lines += ["", "Reliability learned (1: answers as the reward says; 0.5: as a coin):", ""]
    lines.append(table(["annotations", "careful", "careless"], _reliabilities(content)))
    return "\n".join([*lines, ""])


def _reliabilities(content: Found) -> list[list[object]]:
    """Mean learned reliability of the careful and of the careless, by number of annotations."""
    found: dict[int, dict[str, list[float]]] = {}
    for cell in content["cells"].values():
        sides = found.setdefault(cell["annotations"], {"careful": [], "careless": []})
        for side, values in cell["arms"]["reliability"]["reliabilities"].items():
            sides[side] += values
    return [
        [f"{count:,}", *(fmean(values) if values else float("nan") for values in sides.values())]
        for count, sides in sorted(found.items())
    ]


def draw(content: Found, folder: Path) -> list[Path]:
    """Win rate and accuracy against the number of annotations."""
    rows = [row for row in content["summary"]["rows"] if row["annotations"]]
    path = folder / "label_efficiency.svg"
    shown = {"win_rate": "gold win rate, best of n", "accuracy": "agrees with gold"}
    if any("tuned_win_rate/alike" in row for row in rows):
        shown["tuned_win_rate"] = "gold win rate, tuned policy"
    with panels(path, columns=len(shown)) as axes:
        for ax, (name, title) in zip(axes, shown.items(), strict=True):
            for colour, arm in zip(COLOURS, ARMS, strict=False):
                found = [(row["annotations"], row[f"{name}/{arm}"]) for row in rows if f"{name}/{arm}" in row]
                counts = [count for count, _ in found]
                ax.plot(
                    counts, [each["value"] for _, each in found], "o-", ms=3, color=colour, label=_LABELS[arm]
                )
                ax.fill_between(
                    counts,
                    [each["low"] for _, each in found],
                    [each["high"] for _, each in found],
                    color=colour,
                    alpha=0.15,
                    linewidth=0,
                )
            ax.set_xscale("log")
            ax.set_xlabel("annotations")
            ax.set_ylabel(title)
    return [path]


_LABELS = {"alike": "all count alike", "reliability": "reliability learned", "told": "careless left out"}
