"""How long a run will take on this machine, judged by runs of its kind that have ended here.

The work in a run is what it asks for in tokens times the size of the model that reads them. A run takes as
long as the finished runs nearest to it in work and size took for theirs, each scaled to the new one's.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import Any

from django.core.files.storage import storages
from django.db.models.fields.json import KT

from labeling.models import Annotation, Project
from training.forms.base import RunForm
from training.gpt.config import ModelConfig
from training.gpt.corpus.sources import format_of, names_in
from training.gpt.errors import InputError
from training.models import ModelVersion, Run

Kind = Run.Kind

LOOKED_AT = 30
"""The latest runs of a kind: older ones may be of another machine."""

NEAREST = 5

MOST_ENTRIES = 10_000
"""Of a folder, looked at while somebody types its name."""

CALLS = 1_000_000.0
"""A step spends as long on calls as on so many weights: a model half the size is not twice as fast."""

START = 3.0
"""Seconds that a run spends before its work, at most."""

LEARNING, READING = 3.0, 1.0
"""Passes over a token, the backward one counted double: where weights learn from it, and where not."""

PASSES = {"full": 3, "frozen": 60}
"""What a reward model's 0 stands for, by its trunk."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Seconds: most likely, and a range; and of how many runs that is known."""

    low: float
    likely: float
    high: float
    runs: int

    def __str__(self) -> str:
        low, likely, high = (roughly(each) for each in (self.low, self.likely, self.high))
        between = "" if low == high else f" ({low} to {high})"
        seen = "the one run like it" if self.runs == 1 else f"{self.runs} runs like it"
        return f"About {likely} on this machine{between}, judging by {seen}."


@dataclass(frozen=True, kw_only=True)
class Done:
    """A run that ended: the size of its model, its tokens, its seconds, and those of its training alone."""

    size: float
    amount: float
    seconds: float
    training: float

    @property
    def work(self) -> float:
        return self.amount * self.size


def estimate(form: RunForm) -> Estimate | None:
    """How long the run that a valid form asks for will take; None where no run tells."""
    done = finished(form)
    if not done:
        return None
    asked = form.parameters()
    size, limit = size_for(form), 60.0 * (asked.get("minutes") or 0.0)
    around = median(max(0.0, each.seconds - each.training) for each in done)
    amount = tokens(form.kind, asked, **amounts(form))
    if amount is None:
        # A limit of time alone: it is reached, unless the training ends early by itself.
        likely = limit + around
        return Estimate(low=likely, likely=likely, high=likely + around, runs=len(done))
    found = by_nearest(done, work=max(1.0, amount) * size, size=size)
    if not limit or found.low < limit:
        longest = limit + around if limit else math.inf
        return Estimate(
            low=found.low, likely=min(found.likely, longest), high=min(found.high, longest), runs=found.runs
        )
    return Estimate(low=limit, likely=limit + around, high=limit + 2 * around, runs=found.runs)


def by_nearest(done: list[Done], *, work: float, size: float) -> Estimate:
    """The runs nearest in work and size, each scaled to the new one's work, and how far they disagree."""

    def distance(each: Done) -> float:
        return abs(math.log(work / each.work)) + abs(math.log(size / each.size))

    nearest = sorted(done, key=distance)[:NEAREST]
    start = min(START, *(each.seconds / 2 for each in nearest))
    logs = [math.log(start + (each.seconds - start) * work / each.work) for each in nearest]
    weights = [1 / (0.2 + distance(each)) for each in nearest]
    middle = fmean(logs, weights)
    spread = math.sqrt(fmean([(log - middle) ** 2 for log in logs], weights))
    # Few runs, and far ones, tell less than their agreement does.
    doubt = 0.1 + 0.3 / len(nearest) + 0.1 * distance(nearest[0])
    factor = math.exp(min(1.5, math.hypot(1.3 * spread, doubt)))
    likely = math.exp(middle)
    return Estimate(low=likely / factor, likely=likely, high=likely * factor, runs=len(nearest))


def finished(form: RunForm) -> list[Done]:
    """The latest runs of the form's kind that succeeded; on the same device, where it is named."""
    device = form.cleaned_data.get("device")
    figures = {f"{name}_done": KT(f"metrics__{name}") for name in FIGURES}
    names = ["parameters", "spent", "policy__artifact", "reward__artifact", "version__artifact", *figures]
    rows: Iterable[dict[str, Any]] = (
        Run.objects.filter(kind=form.kind, status=Run.Status.SUCCEEDED, started_at__isnull=False)
        .order_by("-id")
        .annotate(**figures)
        .values(*names)[:LOOKED_AT]
    )
    found = []
    for row in rows:
        asked = row["parameters"]
        did = {name: float(row[f"{name}_done"]) for name in FIGURES if row[f"{name}_done"]}
        amount = tokens(form.kind, asked, **did)
        seconds = row["spent"].total_seconds()
        if (
            amount is None
            or amount <= 0
            or seconds <= 0
            or (device and asked.get("device", device) != device)
        ):
            continue
        artifact = row["policy__artifact"] or row["version__artifact"] or row["reward__artifact"]
        found.append(
            Done(
                size=CALLS + size_of(artifact),
                amount=amount,
                seconds=seconds,
                training=did.get("seconds", seconds),
            )
        )
    return found


FIGURES = ("steps", "tokens", "samples", "comparisons", "demonstrations", "tasks", "prompts", "seconds")
"""Figures of a run that say how much it did."""


def tokens(kind: str, asked: Mapping[str, Any], **counted: float) -> float | None:
    """How many tokens a run of a kind reads, writes and learns from, each as often as it costs.

    `asked` are its parameters; `counted` is what is known beyond them, by the names of `FIGURES`: of a run
    that ended, what it did. What does not change between runs of a kind is left out. None: time decides.
    """
    amount: float | None
    match kind:
        case Kind.PRETRAIN:
            read = counted.get("tokens") or asked["tokens"]
            amount = LEARNING * (read or asked["steps"] * asked["batch_size"] * _context(asked)) or None
        case Kind.SAMPLE:
            amount = counted.get("samples", 0.0) * asked.get("max_new_tokens", 1)
        case Kind.ORDER_TASKS:
            amount = counted.get("tasks", 0.0)
        case Kind.TRAIN_REWARD:
            passes = asked["epochs"] or PASSES[asked["trunk"]]
            models = asked["members"] if asked["ensemble"] == "models" else 1
            again = 2 - 0.5 ** asked["learning_curve"]
            learning = LEARNING * passes if asked["trunk"] == "full" else READING
            amount = counted.get("comparisons", 1.0) * learning * models * again
        case Kind.FINETUNE:
            steps = counted.get("steps") or asked["steps"]
            updates = asked["epochs"] or (4 if asked["estimator"] == "ppo" else 1)
            batch = asked["prompts_per_step"] * asked["samples_per_prompt"] * asked["max_new_tokens"]
            amount = steps * batch * (3 * READING + LEARNING * updates) + examined(asked, steps=steps)
        case Kind.SUPERVISED | Kind.DPO:
            examples = counted.get("comparisons") or counted.get("demonstrations") or 1.0
            steps = counted.get("steps") or asked["epochs"] * examples / asked["batch_size"]
            sides = 2 if kind == Kind.DPO else 1
            batch = asked["batch_size"] * sides * asked["max_new_tokens"]
            own = asked.get("prompts", 0) * asked.get("best_of", 0) * asked["max_new_tokens"] * READING
            amount = steps * batch * (READING + LEARNING) + examined(asked, steps=steps) + own
        case Kind.EVALUATE:
            both = 1 + asked["best_of"]
            compared = (
                counted.get("prompts", 0.0) * both * asked["max_new_tokens"] if asked["against"] else 0.0
            )
            amount = compared + (counted.get("tokens", 0.0) if asked["source"] else 0.0)
        case _:
            raise ValueError(kind)
    return amount


def examined(asked: Mapping[str, Any], *, steps: float) -> float:
    """Tokens of the evaluations in a tuning: at its ends, and every so many steps."""
    times = 2 + steps / asked["evaluate_every"]
    return float(times * asked["heldout_prompts"] * asked["max_new_tokens"] * 2 * READING)


def _context(asked: Mapping[str, Any]) -> int:
    return int(asked["context"] or shape(asked).context)


def shape(asked: Mapping[str, Any]) -> ModelConfig:
    """The shape of the model that a pretraining begins."""
    longest = {"context": asked["context"]} if asked.get("context") else {}
    preset, vocabulary = asked.get("preset", "tiny"), asked.get("vocab_size", 4096)
    return ModelConfig.preset(preset, vocab_size=max(2, vocabulary), **longest)


def size_for(form: RunForm) -> float:
    """Weights of the model that a run asked for by a valid form works with, and what calls cost."""
    version: ModelVersion | None = form.cleaned_data.get("policy") or form.cleaned_data.get("reward")
    return CALLS + (size_of(version.artifact) if version else shape(form.cleaned_data).parameters)


@lru_cache(maxsize=512)
def size_of(artifact: str | None) -> int:
    """Number of weights of the model in an artifact, by its configuration; 0 where that cannot be read."""
    try:
        with storages["artifacts"].open(f"{artifact}/config.json") as file:
            return ModelConfig.from_dict(json.load(file)["model"]).parameters
    except (OSError, ValueError, KeyError, InputError):
        return 0


def amounts(form: RunForm) -> dict[str, float]:
    """What a run asked for by a valid form will find, by the names of `FIGURES`."""
    asked = form.cleaned_data
    project: Project | None = asked.get("project")
    found: dict[str, float] = {}
    match form.kind:
        case Kind.SAMPLE if project:
            found["samples"] = min(asked["tasks"], _prompts(project, "train")) * project.samples_per_task
        case Kind.ORDER_TASKS if project:
            found["tasks"] = project.tasks.filter(open__gt=0).count()
        case Kind.TRAIN_REWARD | Kind.DPO:
            found["comparisons"] = comparisons(project, asked)
        case Kind.SUPERVISED if asked["best_of"]:
            found["demonstrations"] = min(asked["prompts"], _prompts(project, "train"))
        case Kind.SUPERVISED:
            found["demonstrations"] = (
                lines(asked["demonstrations"]) if asked["demonstrations"] else answers(project)
            )
        case Kind.EVALUATE:
            found["prompts"] = min(asked["prompts"], _prompts(project, "heldout"))
            found["tokens"] = text(asked)
    return found


def _prompts(project: Project | None, split: str) -> int:
    return project.prompts.filter(split=split).count() if project else 0


def answers(project: Project | None) -> int:
    """How many answers of a project can be learned from."""
    if project is None:
        return 0
    return Annotation.objects.of(project).counting().learned_from().filter(all_bad=False).count()


def comparisons(project: Project | None, asked: Mapping[str, Any]) -> float:
    """How many comparisons there are: in a file, in a snapshot, or about so many in the answers."""
    if asked["preferences"] or project is None:
        return lines(asked["preferences"])
    if asked.get("snapshot"):
        return float(project.snapshots.get(hash=asked["snapshot"]).count)
    samples = project.samples_per_task
    pairs = samples - 1 if project.feedback == Project.FeedbackKind.BEST else samples * (samples - 1) / 2
    return answers(project) * max(1.0, pairs)


def lines(name: str) -> float:
    """About how many lines a file has: by its size, and the length of the first ones."""
    with Path(name).open("rb") as file:
        first = file.readlines(2**16)
    return Path(name).stat().st_size / max(1.0, fmean(map(len, first))) if first else 1.0


def text(asked: Mapping[str, Any]) -> float:
    """About how many tokens of a corpus are read: a story has some 43, a token of a file some 4 bytes."""
    if not asked["source"]:
        return 0.0
    parts = dict(zip(("train", "validation", "test"), asked["shares"].split("/"), strict=False))
    share = float(parts.get(asked["split"], 100)) / 100
    if asked["source"] == "stories":
        return float(asked["stories"] * 43 * share)
    return sum(map(size_on_disk, names_in(asked["source"]))) / 4 * share


def size_on_disk(name: str) -> float:
    """Bytes of a file, or of what a corpus would be read from in a folder: at most of its first entries."""
    path = Path(name).expanduser()
    if not path.is_dir():
        return path.stat().st_size if path.is_file() else 0.0
    entries = islice(path.rglob("*"), MOST_ENTRIES)
    return sum(each.stat().st_size for each in entries if format_of(each) and each.is_file())


def roughly(seconds: float) -> str:
    """Seconds as precise as an estimate is: `40 s`, `4 min`, `1 h 20 min`."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{round(minutes) if minutes < 20 else 5 * round(minutes / 5)} min"
    hours, rest = divmod(10 * round(minutes / 10), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
