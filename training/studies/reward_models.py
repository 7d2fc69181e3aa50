"""Reward models of a study: quick to train, and compared with gold scores."""

from collections.abc import Sequence
from statistics import fmean

from training.gpt.config_fields import option
from training.rlhf.config import RewardConfig
from training.rlhf.evaluation.win_rate import win_points
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.reward_model import Ensemble, RewardModel
from training.rlhf.reward.trainer import RewardResult, train_reward_model
from training.rlhf.reward_functions import Scorer
from training.studies.samples import Samples
from training.studies.tasks import StudyTask

LEARNING_RATE: float = option(3e-3, "peak learning rate of the reward models", minimum=1e-6)
"""So small a model learns fastest at it: 4,000 comparisons teach in one pass what takes two at 1e-3."""

SECONDS_PER_COMPARISON = 0.0035
"""Of one pass, on one slow core, with the default policy as trunk; for estimates of a study's duration."""


def default_epochs(comparisons: int) -> int:
    """Passes over so many comparisons: more for few, which would hardly change the model in one."""
    return max(1, min(6, 3000 // max(1, comparisons)))


def train_reward(
    task: StudyTask,
    comparisons: Sequence[Comparison],
    reference: Samples,
    *,
    learning_rate: float,
    seed: int,
    members: int = 1,
    ensemble: str = "models",
    reliability: bool = False,
    epochs: int = 0,
) -> RewardResult:
    """Train a reward model, or an ensemble of models or of heads, on all the comparisons.

    0 epochs: `default_epochs` of their number. Scores are standardised on the `reference` samples.
    """
    config = RewardConfig(
        members=members,
        ensemble=ensemble,
        reliability=reliability,
        epochs=epochs or default_epochs(len(comparisons)),
        learning_rate=learning_rate,
        heldout=0.0,
        device="cpu",
        seed=seed,
    )
    prompts, completions = reference.flatten()
    return train_reward_model(
        trunk=task.policy,
        tokenizer=task.tokenizer,
        comparisons=comparisons,
        config=config,
        reference_samples=list(zip(prompts, completions, strict=True))[:1024],
    )


def first_member(model: RewardModel | Ensemble) -> RewardModel:
    """The first member of an ensemble, which is the model that would be trained without one."""
    return model if isinstance(model, RewardModel) else next(iter(model))


def score_samples(scorer: Scorer, samples: Samples) -> list[list[float]]:
    """The scores of all samples. P x K"""
    scores = iter(scorer(*samples.flatten()))
    return [[next(scores) for _ in texts] for texts in samples.completions]


def pairwise_accuracy(scores: Sequence[Sequence[float]], gold: Sequence[Sequence[float]]) -> float:
    """The share of pairs of neighbouring samples that `scores` order as `gold` does, without gold ties."""
    return fmean(
        win_points(mine[0], mine[1]) if true[0] > true[1] else win_points(mine[1], mine[0])
        for row, golds in zip(scores, gold, strict=True)
        for mine, true in (
            (row[place : place + 2], golds[place : place + 2]) for place in range(0, len(row) - 1, 2)
        )
        if true[0] != true[1]
    )
