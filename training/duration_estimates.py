"""Estimates how long a run will take on this machine, from finished runs of the same kind.

The work of a run is its number of tokens times the size of its model. The estimate is a weighted mean over
the finished runs nearest in work and size, each duration scaled to the work of the new run.
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
from training.gpt.corpus.sources import file_format, split_source
from training.gpt.errors import InputError
from training.models import ModelVersion, Run

Kind = Run.Kind

MAX_RUNS = 30
"""Only the latest runs of a kind are considered: older ones may be from another machine."""

MAX_NEIGHBOURS = 5

MAX_ENTRIES = 10_000
"""Entries of a corpus folder that are considered while somebody types its name."""

CALL_OVERHEAD = 1_000_000.0
"""Fixed overhead of a step, in equivalent parameters: a model half the size is not twice as fast."""

MAX_STARTUP_SECONDS = 3.0
"""Seconds that a run spends before its work starts, at most."""

TRAINING_COST, INFERENCE_COST = 3.0, 1.0
"""Passes over a token, with the backward pass counted twice: with and without a gradient."""

DEFAULT_EPOCHS = {"full": 3, "frozen": 60}
"""The epochs that `epochs=0` stands for when training a reward model, by `trunk`."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The most likely duration and its range in seconds, and the number of runs it is based on."""

    low: float
    likely: float
    high: float
    runs: int

    def __str__(self) -> str:
        low, likely, high = (format_estimate(each) for each in (self.low, self.likely, self.high))
        interval = "" if low == high else f" ({low} to {high})"
        basis = "1 similar run" if self.runs == 1 else f"{self.runs} similar runs"
        return f"About {likely} on this machine{interval}, based on {basis}."


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A finished run: model size in parameters, tokens, total seconds, and seconds of training alone."""

    size: float
    tokens: float
    seconds: float
    training: float

    @property
    def work(self) -> float:
        return self.tokens * self.size


def estimate(form: RunForm) -> Estimate | None:
    """The expected duration of the run described by a valid form; None without comparable runs."""
    done = finished_runs(form)
    if not done:
        return None
    options = form.parameters()
    size, limit = model_size(form), 60.0 * (options.get("minutes") or 0.0)
    overhead = median(max(0.0, each.seconds - each.training) for each in done)
    tokens = count_tokens(form.kind, options, **expected_work(form))
    if tokens is None:
        # Only a time limit is set: it is reached unless the training stops early.
        likely = limit + overhead
        return Estimate(low=likely, likely=likely, high=likely + overhead, runs=len(done))
    found = estimate_from_neighbours(done, work=max(1.0, tokens) * size, size=size)
    if not limit or found.low < limit:
        longest = limit + overhead if limit else math.inf
        return Estimate(
            low=found.low, likely=min(found.likely, longest), high=min(found.high, longest), runs=found.runs
        )
    return Estimate(low=limit, likely=limit + overhead, high=limit + 2 * overhead, runs=found.runs)


def estimate_from_neighbours(done: list[FinishedRun], *, work: float, size: float) -> Estimate:
    """The weighted mean of the nearest runs, scaled to `work`, with a range from their disagreement."""

    def distance(each: FinishedRun) -> float:
        return abs(math.log(work / each.work)) + abs(math.log(size / each.size))

    nearest = sorted(done, key=distance)[:MAX_NEIGHBOURS]
    start = min(MAX_STARTUP_SECONDS, *(each.seconds / 2 for each in nearest))
    logs = [math.log(start + (each.seconds - start) * work / each.work) for each in nearest]
    weights = [1 / (0.2 + distance(each)) for each in nearest]
    middle = fmean(logs, weights)
    spread = math.sqrt(fmean([(log - middle) ** 2 for log in logs], weights))
    # Few or distant runs widen the range, even if they agree.
    doubt = 0.1 + 0.3 / len(nearest) + 0.1 * distance(nearest[0])
    factor = math.exp(min(1.5, math.hypot(1.3 * spread, doubt)))
    likely = math.exp(middle)
    return Estimate(low=likely / factor, likely=likely, high=likely * factor, runs=len(nearest))


def finished_runs(form: RunForm) -> list[FinishedRun]:
    """The latest successful runs of the form's kind: on the same device, if the form names one, and with the
    same endpoint or with none."""
    device = form.cleaned_data.get("device")
    work_columns = {f"{name}_done": KT(f"metrics__{name}") for name in WORK_METRICS}
    names = [
        "parameters",
        "spent",
        "policy__artifact",
        "reward__artifact",
        "version__artifact",
        *work_columns,
    ]
    rows: Iterable[dict[str, Any]] = (
        Run.objects.filter(kind=form.kind, status=Run.Status.SUCCEEDED, started_at__isnull=False)
        .filter(endpoint=form.cleaned_data.get("from"))
        .order_by("-id")
        .annotate(**work_columns)
        .values(*names)[:MAX_RUNS]
    )
    found = []
    for row in rows:
        options = row["parameters"]
        did = {name: float(row[f"{name}_done"]) for name in WORK_METRICS if row[f"{name}_done"]}
        tokens = count_tokens(form.kind, options, **did)
        seconds = row["spent"].total_seconds()
        if (
            tokens is None
            or tokens <= 0
            or seconds <= 0
            or (device and options.get("device", device) != device)
        ):
            continue
        artifact = row["policy__artifact"] or row["version__artifact"] or row["reward__artifact"]
        found.append(
            FinishedRun(
                size=CALL_OVERHEAD + artifact_size(artifact),
                tokens=tokens,
                seconds=seconds,
                training=did.get("seconds", seconds),
            )
        )
    return found


WORK_METRICS = ("steps", "tokens", "samples", "comparisons", "demonstrations", "tasks", "prompts", "seconds")
"""Metrics of a finished run that measure its work."""


def count_tokens(kind: str, options: Mapping[str, Any], **counted: float) -> float | None:
    """The number of tokens a run processes, weighted by cost. None: only a time limit decides.

    `options` are its parameters; `counted` holds further counts by the names in `WORK_METRICS`: expected ones
    of a new run, actual ones of a finished run. Costs that are the same for all runs of a kind are left out.
    """
    tokens: float | None
    match kind:
        case Kind.PRETRAIN:
            read = counted.get("tokens") or options["tokens"]
            tokens = (
                TRAINING_COST * (read or options["steps"] * options["batch_size"] * _context(options)) or None
            )
        case Kind.SAMPLE:
            tokens = counted.get("samples", 0.0) * options.get("max_new_tokens", 1)
        case Kind.ORDER_TASKS:
            tokens = counted.get("tasks", 0.0)
        case Kind.TRAIN_REWARD:
            passes = options["epochs"] or DEFAULT_EPOCHS[options["trunk"]]
            models = options["members"] if options["ensemble"] == "models" else 1
            again = 2 - 0.5 ** options["learning_curve"]
            learning = TRAINING_COST * passes if options["trunk"] == "full" else INFERENCE_COST
            tokens = counted.get("comparisons", 1.0) * learning * models * again
        case Kind.FINETUNE:
            steps = counted.get("steps") or options["steps"]
            updates = options["epochs"] or (4 if options["estimator"] == "ppo" else 1)
            batch = options["prompts_per_step"] * options["samples_per_prompt"] * options["max_new_tokens"]
            tokens = steps * batch * (3 * INFERENCE_COST + TRAINING_COST * updates) + count_evaluation_tokens(
                options, steps=steps
            )
        case Kind.SUPERVISED | Kind.DPO:
            examples = counted.get("comparisons") or counted.get("demonstrations") or 1.0
            steps = counted.get("steps") or options["epochs"] * examples / options["batch_size"]
            completions = 2 if kind == Kind.DPO else 1
            batch = options["batch_size"] * completions * options["max_new_tokens"]
            own = (
                options.get("prompts", 0)
                * options.get("best_of", 0)
                * options["max_new_tokens"]
                * INFERENCE_COST
            )
            tokens = (
                steps * batch * (INFERENCE_COST + TRAINING_COST)
                + count_evaluation_tokens(options, steps=steps)
                + own
            )
        case Kind.EVALUATE:
            both = 1 + options["best_of"]
            compared = (
                counted.get("prompts", 0.0) * both * options["max_new_tokens"] if options["against"] else 0.0
            )
            tokens = compared + (counted.get("tokens", 0.0) if options["source"] else 0.0)
        case _:
            raise ValueError(kind)
    return tokens


def count_evaluation_tokens(options: Mapping[str, Any], *, steps: float) -> float:
    """Tokens of the evaluations of a tuning: at both ends, and every `evaluate_every` steps."""
    times = 2 + steps / options["evaluate_every"]
    return float(times * options["heldout_prompts"] * options["max_new_tokens"] * 2 * INFERENCE_COST)


def _context(options: Mapping[str, Any]) -> int:
    return int(options["context"] or new_model_config(options).context)


def new_model_config(options: Mapping[str, Any]) -> ModelConfig:
    """The configuration of the model that a pretraining creates."""
    longest = {"context": options["context"]} if options.get("context") else {}
    preset, vocabulary = options.get("preset", "tiny"), options.get("vocab_size", 4096)
    return ModelConfig.preset(preset, vocab_size=max(2, vocabulary), **longest)


def model_size(form: RunForm) -> float:
    """The size of the model that the run of a valid form works with, overhead included."""
    if form.cleaned_data.get("from"):
        return CALL_OVERHEAD
    version: ModelVersion | None = form.cleaned_data.get("policy") or form.cleaned_data.get("reward")
    return CALL_OVERHEAD + (
        artifact_size(version.artifact) if version else new_model_config(form.cleaned_data).parameters
    )


@lru_cache(maxsize=512)
def artifact_size(artifact: str | None) -> int:
    """The number of parameters of the model in an artifact, from its config.json; 0 if unreadable."""
    try:
        with storages["artifacts"].open(f"{artifact}/config.json") as file:
            return ModelConfig.from_dict(json.load(file)["model"]).parameters
    except (OSError, ValueError, KeyError, InputError):
        return 0


def expected_work(form: RunForm) -> dict[str, float]:
    """The expected work of the run of a valid form, by the names in `WORK_METRICS`."""
    options = form.cleaned_data
    project: Project | None = options.get("project")
    found: dict[str, float] = {}
    match form.kind:
        case Kind.SAMPLE if project:
            found["samples"] = (
                min(options["tasks"], _count_prompts(project, "train")) * project.samples_per_task
            )
        case Kind.ORDER_TASKS if project:
            found["tasks"] = project.tasks.filter(open__gt=0).count()
        case Kind.TRAIN_REWARD | Kind.DPO:
            found["comparisons"] = count_comparisons(project, options)
        case Kind.SUPERVISED if options["best_of"]:
            found["demonstrations"] = min(options["prompts"], _count_prompts(project, "train"))
        case Kind.SUPERVISED:
            found["demonstrations"] = (
                count_lines(options["demonstrations"])
                if options["demonstrations"]
                else count_answers(project)
            )
        case Kind.EVALUATE:
            found["prompts"] = min(options["prompts"], _count_prompts(project, "heldout"))
            found["tokens"] = count_corpus_tokens(options)
    return found


def _count_prompts(project: Project | None, split: str) -> int:
    return project.prompts.filter(split=split).count() if project else 0


def count_answers(project: Project | None) -> int:
    """The number of answers of a project that can be used for training."""
    if project is None:
        return 0
    return (
        Annotation.objects.for_project(project)
        .latest_revisions()
        .used_for_training()
        .filter(all_bad=False)
        .count()
    )


def count_comparisons(project: Project | None, options: Mapping[str, Any]) -> float:
    """The number of comparisons: of a file or a project's answers approximately, of a snapshot exactly."""
    if options["preferences"] or project is None:
        return count_lines(options["preferences"])
    if options.get("snapshot"):
        return float(project.snapshots.get(hash=options["snapshot"]).count)
    samples = project.samples_per_task
    pairs = samples - 1 if project.feedback == Project.FeedbackKind.BEST else samples * (samples - 1) / 2
    return count_answers(project) * max(1.0, pairs)


def count_lines(name: str) -> float:
    """The approximate number of lines of a file, from its size and the length of the first lines."""
    with Path(name).open("rb") as file:
        first = file.readlines(2**16)
    return Path(name).stat().st_size / max(1.0, fmean(map(len, first))) if first else 1.0


def count_corpus_tokens(options: Mapping[str, Any]) -> float:
    """The approximate number of tokens of a corpus: 43 per story, or one per 4 bytes of a file."""
    if not options["source"]:
        return 0.0
    parts = dict(zip(("train", "validation", "test"), options["shares"].split("/"), strict=False))
    share = float(parts.get(options["split"], 100)) / 100
    if options["source"] == "stories":
        return float(options["stories"] * 43 * share)
    return sum(map(size_on_disk, split_source(options["source"]))) / 4 * share


def size_on_disk(name: str) -> float:
    """The size in bytes of a file, or of the corpus files among the first `MAX_ENTRIES` of a folder."""
    path = Path(name).expanduser()
    if not path.is_dir():
        return path.stat().st_size if path.is_file() else 0.0
    entries = islice(path.rglob("*"), MAX_ENTRIES)
    return sum(each.stat().st_size for each in entries if file_format(each) and each.is_file())


def format_estimate(seconds: float) -> str:
    """Seconds, rounded as coarsely as suits an estimate: `40 s`, `4 min`, `1 h 20 min`."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 90:
        return f"{5 * round(seconds / 5)} s"
    minutes = seconds / 60
    if minutes < 90:
        return f"{round(minutes) if minutes < 20 else 5 * round(minutes / 5)} min"
    hours, rest = divmod(10 * round(minutes / 10), 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"
