"""Train a reward model on a project's annotations, or on a file of preferences."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from labeling import preferences
from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.model_loading import load_policy_of, load_scorer
from training.execution.reference_samples import reference_samples
from training.execution.result import NewVersion, RunResult
from training.gpt.distributed import process_group
from training.gpt.errors import InputError
from training.models import ModelVersion, Run
from training.provenance import without_deleted_annotators
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.demonstrations import Demonstration
from training.rlhf.feedback.preference_files import file_options, preferences_and_notes
from training.rlhf.feedback.preferences import Comparison, Rating, from_random_tasks
from training.rlhf.reward.learning_curve import learning_curve
from training.rlhf.reward.trainer import RewardResult, train_reward_model
from training.rlhf.reward_functions import Scorer

Learned = TypeVar("Learned", Comparison, Rating, Demonstration)


def execute(run: Run, attempt: Attempt, folder: Path) -> RunResult:
    """Freeze a snapshot of the comparisons, train on it, and evaluate on held-out comparisons."""
    result = train(run, attempt, folder)
    attempt.raise_if_stopped()
    metrics: dict[str, Any] = {**result.metrics, "stopped": result.stop_reason}
    if run.snapshot is not None:
        metrics = without_deleted_annotators(metrics, run.snapshot)
    if gold := run.parameters.get("gold"):
        attempt.report(f"comparing with {gold}")
        metrics["gold_accuracy"] = agreement_with(
            result.model.score, load_scorer(gold), from_random_tasks(result.heldout)
        )
    result.model.save(folder / "model")
    return RunResult(
        metrics=metrics,
        version=NewVersion(folder=folder / "model", kind=ModelVersion.Kind.REWARD, parent=run.policy),
        snapshot=run.snapshot,
    )


def execute_as_helper(run: Run, attempt: Attempt, folder: Path) -> None:
    """Take part in the training in a helper process."""
    train(run, attempt, folder)


def train(run: Run, attempt: Attempt, folder: Path) -> RewardResult:
    """The result of the training. The state to resume from is saved in `folder`."""
    policy = run.policy
    assert policy is not None
    attempt.report("collecting the comparisons")
    # One group for everything: the other processes must not read before the first has frozen the snapshot.
    with process_group() as group:
        if group.broadcast_bool(lambda: freeze_snapshot(run)):
            run.refresh_from_db(fields=["snapshot"])
        comparisons, ratings = load_feedback(run, attempt.report)
        attempt.report(f"{len(comparisons)} comparisons; loading the policy")
        trunk, tokenizer = load_policy_of(run)
        attempt.raise_if_stopped()
        config = config_of(RewardConfig, run)
        samples: list[tuple[str, str]] = []
        if group.is_main_process:
            attempt.report("sampling the policy for the reward's scale")
            prompts = [pair.prompt for pair in comparisons] + [rating.prompt for rating in ratings]
            samples = reference_samples(run, trunk, tokenizer, list(dict.fromkeys(prompts)), seed=config.seed)
            attempt.raise_if_stopped()
        result = train_reward_model(
            trunk=trunk,
            tokenizer=tokenizer,
            comparisons=comparisons,
            ratings=ratings,
            config=config,
            reference_samples=samples,
            folder=folder / "last",
            callbacks=attempt.callbacks,
        )
        if not config.learning_curve or result.stop_reason == "cancelled":
            return result
        attempt.report("training on parts of the answers, for the learning curve")
        curve = learning_curve(
            trunk=trunk,
            tokenizer=tokenizer,
            comparisons=comparisons,
            ratings=ratings,
            config=config,
            full=result,
            should_stop=attempt.callbacks.should_stop,
        )
        return replace(result, metrics={**result.metrics, "learning_curve": curve})


def freeze_snapshot(run: Run) -> bool:
    """Give the run a snapshot of its project's answers; False if it has no project.

    A run that has a snapshot keeps it: a resumed run is trained on the same answers.
    """
    if run.project is None:
        return False
    if run.snapshot is None:
        run.snapshot = preferences.create_snapshot(run.project)
        run.save(update_fields=["snapshot"])
    return True


def load_feedback(run: Run, report: Callable[[str], None]) -> tuple[list[Comparison], list[Rating]]:
    """The run's training data: its snapshot's answers to training prompts, or its file of preferences.

    What was made of the file is reported.
    """
    if run.snapshot is None:
        comparisons, ratings, notes = preferences_and_notes(
            run.parameters["preferences"], **file_options(run.parameters)
        )
        report(f"{run.parameters['preferences']}: {notes}")
        return comparisons, ratings
    comparisons = [from_row(Comparison, row) for row in training_rows(run.snapshot.comparisons())]
    ratings = [from_row(Rating, row) for row in training_rows(run.snapshot.ratings())]
    if not comparisons and not ratings:
        assert run.project is not None
        raise InputError(
            f"project: “{run.project.slug}” has no comparisons yet; "
            "let people answer some of its tasks first."
        )
    return comparisons, ratings


def agreement_with(scorer: Scorer, gold: Scorer, comparisons: list[Comparison]) -> float | None:
    """The share of comparisons that the scorer orders as the gold scorer does; equal scores count half. None
    if the gold scorer has no preferences."""
    prompts = [pair.prompt for pair in comparisons]
    chosen, rejected = [pair.chosen for pair in comparisons], [pair.rejected for pair in comparisons]
    gaps = [
        [
            better - worse
            for better, worse in zip(judge(prompts, chosen), judge(prompts, rejected), strict=True)
        ]
        for judge in (scorer, gold)
    ]
    points = [
        0.5 if ours == 0 else float((ours > 0) == (theirs > 0))
        for ours, theirs in zip(*gaps, strict=True)
        if theirs
    ]
    return sum(points) / len(points) if points else None


def training_rows(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The frozen rows of training prompts."""
    return (row for row in rows if row["split"] == "train")


def from_row(kind: type[Learned], row: dict[str, Any]) -> Learned:
    """An instance of `kind` from a frozen row; keys without a field are ignored."""
    names = {field.name for field in fields(kind)}
    values = {name: value for name, value in row.items() if name in names}
    if values.get("messages") is not None:
        values["messages"] = tuple(values["messages"])
    return kind(**values)
