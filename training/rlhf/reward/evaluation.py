"""Evaluation of a trained reward model on held-out prompts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from training.rlhf.feedback.preferences import RANDOM, Comparison, from_random_tasks
from training.rlhf.feedback.splits import FeedbackSplits
from training.rlhf.losses import bradley_terry_loss
from training.rlhf.reward.accuracy import (
    accuracy,
    accuracy_by_annotator,
    accuracy_by_strength,
    length_baseline,
)
from training.rlhf.reward.calibration import calibration
from training.rlhf.reward.reliability import Reliability
from training.rlhf.reward.reward_model import Ensemble, RewardModel


def evaluate_reward_model(
    model: RewardModel | Ensemble, splits: FeedbackSplits, reliabilities: Mapping[str, Reliability]
) -> dict[str, Any]:
    """Metrics of a normalised model on the held-out split; only the counts if nothing was held out.

    Metrics are on randomly picked tasks, if there are any; `accuracy_of_all` then includes the tasks chosen
    by active learning, which are harder. `loss` is the Bradley-Terry loss in nats of the members' mean reward
    before normalisation. `score_correlation` is Pearson's correlation of rewards and held-out scores.
    """
    all_pairs, ratings = splits.heldout_comparisons, splits.heldout.ratings
    metrics: dict[str, Any] = {
        "comparisons": len(splits.comparisons) + len(all_pairs),
        "heldout_comparisons": len(all_pairs),
        "heldout_chosen": sum(pair.choice != RANDOM for pair in all_pairs),
    }
    if splits.train.ratings:
        metrics |= {"ratings": len(splits.train.ratings) + len(ratings), "heldout_ratings": len(ratings)}
    if ratings:
        rewards = model.score([each.prompt for each in ratings], [each.completion for each in ratings])
        metrics["score_correlation"] = _correlation(rewards, [each.score for each in ratings])
    if not all_pairs:
        return metrics | {"annotators": _annotator_rows([], [], reliabilities)}
    texts = list(dict.fromkeys(text for pair in all_pairs for text in pair.texts))
    index = {text: place for place, text in enumerate(texts)}
    members = model.member_scores(*zip(*texts, strict=True))
    trained = model.unnormalised(members).mean(dim=1).cpu()

    def differences_of(pairs: Sequence[Comparison]) -> Tensor:
        """r_chosen - r_rejected of each pair. [pairs]"""
        chosen, rejected = (trained[[index[pair.texts[side]] for pair in pairs]] for side in (0, 1))
        return chosen - rejected

    pairs = from_random_tasks(all_pairs)
    difference = differences_of(pairs)
    differences = difference.tolist()
    if len(pairs) < len(all_pairs):
        metrics["accuracy_of_all"] = asdict(accuracy(differences_of(all_pairs).tolist(), all_pairs))
    margin = torch.tensor([pair.margin for pair in pairs])
    tie = torch.tensor([pair.tie for pair in pairs])
    found, longer = accuracy(differences, pairs), length_baseline(pairs)
    untied = [each for each, pair in zip(differences, pairs, strict=True) if not pair.tie]
    return metrics | {
        "accuracy": found.accuracy,
        "interval": (found.low, found.high),
        "loss": bradley_terry_loss(difference, margin=margin, tie=tie).mean().item(),
        "margin": math.fsum(untied) / len(untied) if untied else math.nan,
        "longer_wins": longer.accuracy,
        "longer_wins_interval": (longer.low, longer.high),
        "mean_reward": model.aggregate_normalised(members, aggregation="mean").mean().item(),
        "annotators": _annotator_rows(differences, pairs, reliabilities),
        "by_strength": accuracy_by_strength(differences, pairs),
        "calibration": calibration(differences, pairs),
    }


def _annotator_rows(
    differences: list[float], pairs: Sequence[Comparison], reliabilities: Mapping[str, Reliability]
) -> list[dict[str, Any]]:
    """A row for each annotator: accuracy on their held-out answers, and reliability if it was estimated."""
    right = accuracy_by_annotator(differences, pairs)
    rows = []
    for name in sorted({*right, *reliabilities}):
        row: dict[str, Any] = {"annotator": name}
        if name in right:
            row |= {f"heldout_{metric}": value for metric, value in asdict(right[name]).items()}
        if name in reliabilities:
            row |= asdict(reliabilities[name])
        rows.append(row)
    return rows


def _correlation(rewards: list[float], scores: list[float]) -> float:
    """Pearson's correlation; NaN if either list is constant."""
    if len(set(rewards)) < 2 or len(set(scores)) < 2:
        return math.nan
    found: float = torch.corrcoef(torch.tensor([rewards, scores]))[0, 1].item()
    return found
