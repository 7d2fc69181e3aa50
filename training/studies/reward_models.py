"""Reward models of a study: trained quickly, and judged by the truth."""

from collections.abc import Sequence
from statistics import fmean

from training.gpt.config_fields import option
from training.rlhf.config import RewardConfig
from training.rlhf.evaluation.win_rate import points_of
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.reward_model import Ensemble, RewardModel
from training.rlhf.reward.training import RewardResult, train_reward_model
from training.rlhf.scorers import Scorer
from training.studies.samples import Samples
from training.studies.tasks import Subject

RATE: float = option(3e-3, "peak learning rate of the reward models", minimum=1e-6)
"""So small a model learns fastest at it: 4,000 comparisons teach in one pass what takes two at 1e-3."""

SECONDS_PER_COMPARISON = 0.0035
"""Of one pass, on one slow core, for the default policy's trunk: what estimates of time are made of."""


def passes(count: int) -> int:
    """So many passes over a number of comparisons that few do not leave the model where it began."""
    return max(1, min(6, 3000 // max(1, count)))


def train(
    subject: Subject,
    comparisons: Sequence[Comparison],
    reference: Samples,
    *,
    rate: float,
    seed: int,
    members: int = 1,
    ensemble: str = "models",
    reliability: bool = False,
    epochs: int = 0,
) -> RewardResult:
    """A reward model, or an ensemble of whole ones or of heads, that learns from all the comparisons.

    Of 0 epochs, so many `passes` as suit their number.
    """
    config = RewardConfig(
        members=members,
        ensemble=ensemble,
        reliability=reliability,
        epochs=epochs or passes(len(comparisons)),
        learning_rate=rate,
        heldout=0.0,
        device="cpu",
        seed=seed,
    )
    prompts, completions = reference.texts
    return train_reward_model(
        trunk=subject.policy,
        tokenizer=subject.tokenizer,
        comparisons=comparisons,
        config=config,
        reference_samples=list(zip(prompts, completions, strict=True))[:1024],
    )


def single(model: RewardModel | Ensemble) -> RewardModel:
    """The model itself, or the first member of an ensemble: what one would have trained without it."""
    return model if isinstance(model, RewardModel) else next(iter(model))


def scores_of(scorer: Scorer, samples: Samples) -> list[list[float]]:
    """What a scorer gives to all samples. P x K"""
    scores = iter(scorer(*samples.texts))
    return [[next(scores) for _ in texts] for texts in samples.completions]


def agreement(scores: Sequence[Sequence[float]], gold: Sequence[Sequence[float]]) -> float:
    """The share of pairs of samples of one prompt, ties of gold aside, that scores order as gold does."""
    return fmean(
        points_of(mine[0], mine[1]) if true[0] > true[1] else points_of(mine[1], mine[0])
        for row, golds in zip(scores, gold, strict=True)
        for mine, true in (
            (row[place : place + 2], golds[place : place + 2]) for place in range(0, len(row) - 1, 2)
        )
        if true[0] != true[1]
    )


def best_of_n(scores: Sequence[Sequence[float]], choices: Samples, rivals: Samples) -> dict[str, float]:
    """What the best of each prompt's choices by these scores [P, K] is worth: `win_rate` by gold over the
    rivals of the same prompts, and `gold` itself."""
    points, golds = [], []
    for row, gold, others in zip(scores, choices.gold, rivals.gold, strict=True):
        best = gold[max(range(len(row)), key=row.__getitem__)]
        golds.append(best)
        points.append(fmean(points_of(best, rival) for rival in others))
    return {"win_rate": fmean(points), "gold": fmean(golds)}
