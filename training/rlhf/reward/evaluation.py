"""What a trained reward model is worth on prompts it never saw."""

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


def report(
    model: RewardModel | Ensemble, sides: FeedbackSplits, reliabilities: Mapping[str, Reliability]
) -> dict[str, Any]:
    """Figures of a normalised model on what was held out; the counts alone where nothing was.

    Where tasks were chosen, all is measured on those that came at random, and `accuracy_of_all` is the
    accuracy with the chosen ones, which are harder than most; where none came at random, there is no other.
    `loss` is Bradley and Terry's of the held-out comparisons, in nats, by the mean member in the units it was
    trained in. Of held-out scores, `score_correlation` is Pearson's between them and the rewards.
    """
    everything, ratings = sides.heldout_comparisons, sides.heldout.ratings
    figures: dict[str, Any] = {
        "comparisons": len(sides.comparisons) + len(everything),
        "heldout_comparisons": len(everything),
        "heldout_chosen": sum(pair.choice != RANDOM for pair in everything),
    }
    if sides.train.ratings:
        figures |= {"ratings": len(sides.train.ratings) + len(ratings), "heldout_ratings": len(ratings)}
    if ratings:
        rewards = model.score([each.prompt for each in ratings], [each.completion for each in ratings])
        figures["score_correlation"] = _correlation(rewards, [each.score for each in ratings])
    if not everything:
        return figures | {"annotators": _annotators([], [], reliabilities)}
    texts = list(dict.fromkeys(text for pair in everything for text in pair.texts))
    index = {text: place for place, text in enumerate(texts)}
    members = model.member_scores(*zip(*texts, strict=True))
    trained = model.unnormalised(members).mean(dim=1).cpu()

    def gaps(pairs: Sequence[Comparison]) -> Tensor:
        """r_chosen - r_rejected of each. [pairs]"""
        chosen, rejected = (trained[[index[pair.texts[side]] for pair in pairs]] for side in (0, 1))
        return chosen - rejected

    pairs = from_random_tasks(everything)
    difference = gaps(pairs)
    differences = difference.tolist()
    if len(pairs) < len(everything):
        figures["accuracy_of_all"] = asdict(accuracy(gaps(everything).tolist(), everything))
    margin = torch.tensor([pair.margin for pair in pairs])
    tie = torch.tensor([pair.tie for pair in pairs])
    found, longer = accuracy(differences, pairs), length_baseline(pairs)
    kept = [gap for gap, pair in zip(differences, pairs, strict=True) if not pair.tie]
    return figures | {
        "accuracy": found.accuracy,
        "interval": (found.low, found.high),
        "loss": bradley_terry_loss(difference, margin=margin, tie=tie).mean().item(),
        "margin": math.fsum(kept) / len(kept) if kept else math.nan,
        "longer_wins": longer.accuracy,
        "longer_wins_interval": (longer.low, longer.high),
        "mean_reward": model.aggregate_normalised(members, aggregation="mean").mean().item(),
        "annotators": _annotators(differences, pairs, reliabilities),
        "by_strength": accuracy_by_strength(differences, pairs),
        "calibration": calibration(differences, pairs),
    }


def _annotators(
    differences: list[float], pairs: Sequence[Comparison], reliabilities: Mapping[str, Reliability]
) -> list[dict[str, Any]]:
    """A row for each annotator: accuracy on their held-out answers, and reliability if it was learned."""
    right = accuracy_by_annotator(differences, pairs)
    rows = []
    for name in sorted({*right, *reliabilities}):
        row: dict[str, Any] = {"annotator": name}
        if name in right:
            row |= {f"heldout_{figure}": value for figure, value in asdict(right[name]).items()}
        if name in reliabilities:
            row |= asdict(reliabilities[name])
        rows.append(row)
    return rows


def _correlation(rewards: list[float], scores: list[float]) -> float:
    """Pearson's; NaN where either is constant."""
    if len(set(rewards)) < 2 or len(set(scores)) < 2:
        return math.nan
    found: float = torch.corrcoef(torch.tensor([rewards, scores]))[0, 1].item()
    return found
