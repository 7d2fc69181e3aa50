"""Train a reward model from a project's annotations, or from a file of preferences."""

from pathlib import Path
from typing import Any

from labeling import preferences
from labeling.models import PreferenceSnapshot, Project, Sample
from training.execution.attempt import Attempt
from training.execution.configs import config_of
from training.execution.outcome import NewVersion, Outcome
from training.execution.versions import load_policy, load_taste
from training.gpt.errors import InputError
from training.models import ModelVersion, Run
from training.rlhf.config import RewardConfig
from training.rlhf.preferences import Comparison, read_preferences
from training.rlhf.reward_training import train_reward_model
from training.rlhf.scorers import Scorer

REFERENCE_SAMPLES = 512


def execute(run: Run, attempt: Attempt, folder: Path) -> Outcome:
    """Freeze the comparisons, train on them, measure on the prompts held back."""
    policy = run.policy
    assert policy is not None
    attempt.say("collecting the comparisons")
    snapshot: PreferenceSnapshot | None = None
    reference: list[tuple[str, str]] = []
    if run.project is not None:
        snapshot = run.snapshot or preferences.freeze(run.project)
        comparisons = [comparison_of(row) for row in snapshot.comparisons() if row["split"] == "train"]
        if not comparisons:
            raise InputError(
                f"project: “{run.project.slug}” has no comparisons yet; "
                "let people answer some of its tasks first."
            )
        reference = samples_of(policy, run.project)
    else:
        comparisons = read_preferences(Path(run.parameters["preferences"]))
    attempt.say(f"{len(comparisons)} comparisons; loading the policy")
    trunk, tokenizer = load_policy(policy)
    attempt.check()
    result = train_reward_model(
        trunk=trunk,
        tokenizer=tokenizer,
        comparisons=comparisons,
        config=config_of(RewardConfig, run),
        reference_samples=reference,
        folder=folder,
        hooks=attempt.hooks,
    )
    attempt.check()
    metrics: dict[str, Any] = {**result.metrics, "comparisons": len(comparisons)}
    if taste := run.parameters.get("gold"):
        attempt.say("asking the taste")
        metrics["gold_accuracy"] = agreement(result.model.score, load_taste(taste), result.heldout)
    result.model.save(folder / "model")
    return Outcome(
        metrics=metrics,
        version=NewVersion(folder=folder / "model", kind=ModelVersion.Kind.REWARD, parent=policy),
        snapshot=snapshot,
    )


def samples_of(policy: ModelVersion, project: Project) -> list[tuple[str, str]]:
    """Prompts with what the policy wrote to them, for the reward's scale."""
    samples = Sample.objects.filter(generator=policy.generator, prompt__project=project).select_related(
        "prompt"
    )[:REFERENCE_SAMPLES]
    return [(sample.prompt.text, sample.text) for sample in samples]


def agreement(scorer: Scorer, taste: Scorer, comparisons: list[Comparison]) -> float | None:
    """Share of the comparisons that the scorer orders as the taste does, noise apart; equal scores are half
    right. None where the taste prefers nothing."""
    prompts = [pair.prompt for pair in comparisons]
    chosen, rejected = [pair.chosen for pair in comparisons], [pair.rejected for pair in comparisons]
    gaps = [
        [
            better - worse
            for better, worse in zip(judge(prompts, chosen), judge(prompts, rejected), strict=True)
        ]
        for judge in (scorer, taste)
    ]
    points = [
        0.5 if ours == 0 else float((ours > 0) == (theirs > 0))
        for ours, theirs in zip(*gaps, strict=True)
        if theirs
    ]
    return sum(points) / len(points) if points else None


def comparison_of(row: dict[str, Any]) -> Comparison:
    """A frozen row as the reward model takes it."""
    return Comparison(**{name: value for name, value in row.items() if name != "split"})
