"""Choosing what to ask: whether tasks chosen by a reward model teach it more than tasks that come at random.

Simulated people of one taste, none of them careless, judge pairs of samples, in rounds: an ensemble learns
from all answers so far, orders the tasks nobody has answered by how much they would teach, and the first of
that order are asked next. What counts is how well the last ensemble orders pairs it was never asked about,
and the gold win rate of what it picks, at equal numbers of annotations.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from statistics import fmean, pstdev
from typing import Any, NamedTuple

from training.gpt.config_fields import option
from training.gpt.errors import InputError
from training.rlhf.config import AnnotatorsConfig
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.feedback.simulated_annotators import SimulatedAnnotator, simulated_annotators
from training.rlhf.reward.accuracy import point
from training.rlhf.reward.acquisition import mixed_order, usefulness
from training.rlhf.reward.reward_model import Ensemble, RewardModel
from training.studies.intervals import Estimate, mean_interval, paired_interval, share_interval
from training.studies.options import names, numbers
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

RIVALS = 8
"""Completions of the untuned policy that each choice is compared with."""


FEWEST_EPOCHS = 3
"""Fewer leave the last round's model short of what its answers hold, and worse than the one before it."""


def epochs(count: int) -> int:
    """Passes over so many answers."""
    return max(FEWEST_EPOCHS, passes(count))


class Way(NamedTuple):
    """One way to choose what is asked next."""

    by: str
    share: float  # of it that is chosen; the rest comes at random


RANDOM = "random"
WAYS = {
    RANDOM: Way("disagreement", 0.0),
    "disagreement": Way("disagreement", 1.0),
    "closeness": Way("closeness", 1.0),
    "half": Way("disagreement", 0.5),
}
"""`half` mixes as many random tasks among those the members disagree about."""


@dataclass(frozen=True, kw_only=True)
class Options(SubjectOptions):
    """Options of the study of choosing what to ask."""

    subject: str = option("stories", "what is written", choices=SUBJECTS)
    annotations: str = option(
        "100,250,500,1000,2000", "numbers of annotations after each round; the first round is random"
    )
    seeds: str = option("0,1,2,3,4", "seeds, each with people, tasks and held-out prompts of its own")
    ways: str = option(",".join(WAYS), "ways to choose, random among them")
    pool: int = option(8000, "tasks there are to choose from, a pair of samples each", minimum=10)
    pairs_per_prompt: int = option(4, "how many of them ask about the same prompt", minimum=1)
    members: int = option(4, "reward models that judge together", minimum=2, maximum=64)
    ensemble: str = option(
        "heads", "what they are: heads on one trunk, or whole models", choices=("heads", "models")
    )
    annotators: int = option(10, "people who answer, equally often", minimum=1)
    annotator_noise: float = option(
        0.5, "temperature of their choices, in deviations of the taste", minimum=0.0
    )
    reward_learning_rate: float = RATE
    best_of: int = option(16, "completions that the reward chooses from", minimum=2)
    heldout: int = option(256, "held-out prompts of each seed", minimum=8)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(numbers(self.annotations, name="annotations", least=10, most=self.pool)) < 2:
            raise InputError("annotations: give two numbers or more: the first round is random everywhere")
        numbers(self.seeds, name="seeds", most=1e6)
        if RANDOM not in names(self.ways, name="ways", choices=list(WAYS)):
            raise InputError(f"ways: {RANDOM} is what the others are measured against; add it")

    @property
    def rounds(self) -> list[int]:
        """Numbers of annotations after each round, rising."""
        return [int(count) for count in numbers(self.annotations, name="annotations", most=self.pool)]


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
GROWING = frozenset({"seeds", "ways"})


def run(options: Options, ledger: Ledger, workspace: Path) -> Found:
    """A cell for each seed and way: all its rounds, for each is chosen by what the one before taught."""
    prepared = cache(lambda seed: _Prepared(options, workspace, seed))
    seeds = [int(seed) for seed in numbers(options.seeds, name="seeds", most=1e6)]
    ways = names(options.ways, name="ways", choices=list(WAYS))
    models = options.members if options.ensemble == "models" else 1
    seconds = models * sum(
        (count * epochs(count) + options.pool / 3) * SECONDS_PER_COMPARISON for count in options.rounds
    )

    def cell(seed: int, way: str) -> Cell:
        return Cell(
            name=f"{way}, seed {seed}",
            prepare=lambda: prepared(seed),
            compute=lambda: prepared(seed).cell(way),
            minutes=seconds / 60,
        )

    found = ledger.complete(cell(seed, way) for seed in seeds for way in ways)
    return _summary(list(found.values()), options.rounds, ways)


class _Prepared:
    """What the cells of one seed share."""

    def __init__(self, options: Options, workspace: Path, seed: int) -> None:
        self.options, self.seed = options, seed
        self.subject = subject(options.subject, options, workspace)
        prompts = Random(seed).sample(self.subject.prompts, min(options.pool, len(self.subject.prompts)))
        each = options.pairs_per_prompt
        prompts = prompts[: -(-options.pool // each)]
        self.pool = Samples.of(self.subject, prompts, each=2 * each, seed=4000 + seed)
        self.tasks = self.pool.pairs(options.pool, seed=seed)
        self.draws = [Random(f"{seed} {place}").random() for place in range(len(self.tasks))]
        heldout = self.subject.heldout
        first = seed * options.heldout % max(1, len(heldout) - options.heldout)
        mine = heldout[first : first + options.heldout]
        self.choices = Samples.of(self.subject, mine, each=options.best_of, seed=1000 + seed)
        self.rivals = Samples.of(self.subject, mine, each=RIVALS, seed=2000 + seed)
        self.deviation = pstdev([score for row in self.pool.gold for score in row])
        self.people = _people(options, self)
        self.answers = cache(self._answer)

    def cell(self, way: str) -> Found:
        """All rounds of one way, and what each brought."""
        choose, rounds = WAYS[way], self.options.rounds
        asked: list[int] = []
        waiting = list(range(len(self.tasks)))
        model: RewardModel | Ensemble | None = None
        found = []
        for count in rounds:
            batch = self._next(waiting, choose, model)[: count - len(asked)]
            about = self._about(batch, model)
            asked += batch
            waiting = [task for task in waiting if task not in set(batch)]
            model = self._learn(asked)
            scores = scores_of(model.score, self.choices)
            found.append(
                {
                    "annotations": count,
                    "accuracy": agreement(scores, self.choices.gold),
                    **best_of_n(scores, self.choices, self.rivals),
                    **about,
                }
            )
        return {"seed": self.seed, "way": way, "rounds": found}

    def _next(self, waiting: Sequence[int], way: Way, model: RewardModel | Ensemble | None) -> list[int]:
        """The tasks that wait, in the order in which they would be asked; at random, as long as nothing is
        learned."""
        if model is None or way.share == 0:
            useful, share = [0.0] * len(waiting), 0.0
        else:
            texts = [
                (prompt, text) for prompt, *both in (self.tasks[task] for task in waiting) for text in both
            ]
            rewards = model.trained_units(model.member_scores(*zip(*texts, strict=True)))
            useful, share = usefulness(rewards, [2] * len(waiting), by=way.by), way.share
        order = mixed_order(useful, draws=[self.draws[task] for task in waiting], share=share)
        return [waiting[place.task] for place in order]

    def _learn(self, asked: Sequence[int]) -> RewardModel | Ensemble:
        return train(
            self.subject,
            [self.answers(task) for task in asked],
            self.pool,
            rate=self.options.reward_learning_rate,
            seed=self.seed,
            members=self.options.members,
            ensemble=self.options.ensemble,
            epochs=epochs(len(asked)),
        ).model

    def _answer(self, task: int) -> Comparison:
        """What one person says to a task, always the same one and the same."""
        prompt, one, other = self.tasks[task]
        person = self.people[task % len(self.people)]
        first, second = person.rank(prompt, [one, other])
        better, worse = (one, other) if first <= second else (other, one)
        return Comparison(prompt=prompt, chosen=better, rejected=worse, annotator=person.name)

    def _about(self, batch: Sequence[int], model: RewardModel | Ensemble | None) -> Found:
        """What kind of tasks were asked: how far apart gold holds the two, in deviations; how often people
        said the opposite; and how often the model that chose them foresaw the answer."""
        answers = [self.answers(task) for task in batch]
        prompts = [answer.prompt for answer in answers]
        better = self.subject.gold(prompts, [answer.chosen for answer in answers])
        worse = self.subject.gold(prompts, [answer.rejected for answer in answers])
        gaps = [(a - b) / self.deviation for a, b in zip(better, worse, strict=True)]
        found: Found = {"gap": fmean(map(abs, gaps)), "wrong": fmean(gap < 0 for gap in gaps)}
        found["prompts"] = len(set(prompts)) / len(prompts)
        if model is not None:
            liked = model.score(prompts, [answer.chosen for answer in answers])
            other = model.score(prompts, [answer.rejected for answer in answers])
            found["foreseen"] = fmean(point(a - b) for a, b in zip(liked, other, strict=True))
        return found


def _people(options: Options, prepared: _Prepared) -> list[SimulatedAnnotator]:
    config = AnnotatorsConfig(
        count=options.annotators, noise=options.annotator_noise, tie_margin=0.0, seed=prepared.seed
    )
    return simulated_annotators(config, prepared.subject.gold, deviation=prepared.deviation)


MEASURED = ("accuracy", "win_rate")
ABOUT = ("foreseen", "gap", "wrong", "prompts")


def _summary(cells: Sequence[Mapping[str, Any]], counts: Sequence[int], ways: Sequence[str]) -> Found:
    """By number of annotations, each way and how much more it is than asking at random; over seeds."""

    def values(count: int | None, way: str, name: str) -> list[float]:
        """One for each seed; over all rounds in which ways differ, their mean."""
        return [
            fmean(
                each[name]
                for each in cell["rounds"]
                if name in each and each["annotations"] in ([count] if count else counts[1:])
            )
            for cell in cells
            if cell["way"] == way
        ]

    def row(count: int | None) -> Found:
        found: Found = {"annotations": count}
        for way in ways:
            for name in MEASURED:
                mine = values(count, way, name)
                found[f"{name}/{way}"] = share_interval(mine).to_dict()
                if way != RANDOM:
                    others = values(count, RANDOM, name)
                    found[f"{name}/{way} - {RANDOM}"] = paired_interval(mine, others).to_dict()
            if count != counts[0]:
                for name in ABOUT:
                    found[f"{name}/{way}"] = mean_interval(values(count, way, name)).to_dict()
        return found

    return {"ways": list(ways), "rows": [*(row(count) for count in counts), row(None)]}


def report(content: Found) -> str:
    """Tables of accuracies and win rates, and of what was asked."""
    options, rows, ways = content["options"], content["summary"]["rows"], content["summary"]["ways"]
    title = {
        "accuracy": "Share of held-out pairs, drawn at random, that the reward orders as gold does",
        "win_rate": f"Gold win rate, over the untuned policy, of the best of {options['best_of']}",
    }
    about = (
        f"{options['annotators']} simulated annotators, none careless, who err by chance (noise"
        f" {options['annotator_noise']:g}); {options['pool']:,} tasks of two samples to choose from; an"
        f" ensemble of {options['members']} {options['ensemble']}, trained anew after each round. Means over"
        f" the seeds {options['seeds']} with 95 % intervals; each seed has tasks, people and held-out prompts"
        f" of its own, and differences are paired. {content['seconds'] / 60:.0f} minutes of cells. The first"
        " round is random everywhere; the mean is over the later ones. Expected: chosen tasks teach more than"
        " random ones, those of disagreement more than those of closeness, of which people are least sure"
        " too; a mix lies between."
    )
    lines = [f"# Choosing what to ask, on {options['subject']}", "", about]
    for name in MEASURED:
        heads = [f"{name}/{way}" for way in ways]
        heads += [f"{name}/{way} - {RANDOM}" for way in ways if way != RANDOM]
        body = [
            [
                f"{row['annotations']:,}" if row["annotations"] else "mean",
                *(str(Estimate(**row[head])) for head in heads),
            ]
            for row in rows
        ]
        lines += [
            "",
            f"{title[name]}:",
            "",
            table(["annotations", *(head.partition("/")[2] for head in heads)], body),
        ]
    asked = {
        "foreseen": "answers foreseen by the model that chose",
        "gap": "gold apart, in deviations",
        "wrong": "answers against gold",
        "prompts": "different prompts, a task",
    }
    body = [[text, *(rows[-1][f"{name}/{way}"]["value"] for way in ways)] for name, text in asked.items()]
    about = (
        "What was asked in the later rounds, on the mean (the first line is what accuracy would seem to be on"
        " the tasks asked):"
    )
    lines += ["", about, "", table(["", *ways], body)]
    return "\n".join([*lines, ""])


def draw(content: Found, folder: Path) -> list[Path]:
    """Accuracy and win rate against the number of annotations."""
    rows = [row for row in content["summary"]["rows"] if row["annotations"]]
    path = folder / "choosing.svg"
    shown = {"accuracy": "agrees with gold, at random", "win_rate": "gold win rate, best of n"}
    with panels(path, columns=len(shown)) as axes:
        for ax, (name, title) in zip(axes, shown.items(), strict=True):
            for colour, way in zip(COLOURS, content["summary"]["ways"], strict=False):
                found = [row[f"{name}/{way}"] for row in rows]
                counts = [row["annotations"] for row in rows]
                ax.plot(
                    counts, [each["value"] for each in found], "o-", ms=3, color=colour, label=_LABELS[way]
                )
                ax.fill_between(
                    counts,
                    [each["low"] for each in found],
                    [each["high"] for each in found],
                    color=colour,
                    alpha=0.12,
                    linewidth=0,
                )
            ax.set_xscale("log")
            ax.set_xlabel("annotations")
            ax.set_ylabel(title)
    return [path]


_LABELS = {
    "random": "at random",
    "disagreement": "by disagreement",
    "closeness": "by closeness",
    "half": "half by disagreement",
}
