"""Ensembles of reward models."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.rlhf.letter_feedback import rankings, taught
from training.gpt.errors import InputError
from training.rlhf.config import RewardConfig
from training.rlhf.reward.batching import bootstrap_counts
from training.rlhf.reward.reward_model import (
    AGGREGATIONS,
    Ensemble,
    RewardModel,
    aggregate,
    load_reward_model,
)

TEXTS = ["abc", "hh", "aaaa", "gfedcba", "bbbb", "ahah"]
KINDS = [{"ensemble": "heads"}, {"ensemble": "models"}, {"ensemble": "heads", "trunk": "frozen"}]


def ensemble(**options: Any) -> RewardModel | Ensemble:
    return taught(rankings(40, prompts=1), members=3, epochs=2, **options).model


def test_aggregations_are_mean_minimum_and_mean_minus_variance() -> None:
    members = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]])
    assert aggregate(members, aggregation="mean").tolist() == [3.0, 0.0]
    assert aggregate(members, aggregation="minimum").tolist() == [1.0, 0.0]
    assert aggregate(members, aggregation="cautious").tolist() == pytest.approx([3 - 14 / 3, 0.0])


@pytest.mark.parametrize("kind", KINDS)
def test_members_differ_and_every_aggregation_is_normalised(kind: dict[str, str]) -> None:
    samples = [("", text) for text in TEXTS]
    model = ensemble(reference_samples=samples, **kind)
    assert model.members == 3
    scores = model.member_scores([""] * 6, TEXTS)
    assert scores.shape == (6, 3)
    assert torch.allclose(scores.mean(dim=0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(scores.std(dim=0, correction=0), torch.ones(3), atol=1e-3)
    assert min(model.disagreement([""] * 6, TEXTS)) > 1e-3
    assert model.disagreement([""] * 6, TEXTS) == pytest.approx(scores.std(dim=1, correction=0).tolist())
    for aggregation in AGGREGATIONS:
        rewards = torch.tensor(model.scorer(aggregation)([""] * 6, TEXTS))
        assert rewards.mean().item() == pytest.approx(0.0, abs=1e-4)
        assert rewards.std(correction=0).item() == pytest.approx(1.0, abs=1e-3)
    assert model.score([""] * 6, TEXTS) == model.scorer("mean")([""] * 6, TEXTS)


def test_cautious_aggregation_lowers_disputed_rewards() -> None:
    model = ensemble()
    disputed = torch.tensor(model.disagreement([""] * 6, TEXTS))
    loss = torch.tensor(model.score([""] * 6, TEXTS)) * model.uses[0, 1] + model.uses[0, 0]
    loss -= (
        torch.tensor(model.score([""] * 6, TEXTS, aggregation="cautious")) * model.uses[2, 1]
        + model.uses[2, 0]
    )
    torch.testing.assert_close(loss, disputed.square(), atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_ensemble_scores_the_same(tmp_path: Path, kind: dict[str, str]) -> None:
    model = ensemble(**kind)
    model.save(tmp_path)
    again = load_reward_model(tmp_path)
    assert type(again) is type(model)
    assert torch.equal(again.member_scores([""] * 6, TEXTS), model.member_scores([""] * 6, TEXTS))
    assert again.score([""] * 6, TEXTS, aggregation="minimum") == model.score(
        [""] * 6, TEXTS, aggregation="minimum"
    )
    # Storage keeps flat folders.
    assert all(path.is_file() for path in tmp_path.iterdir())


def test_a_member_that_is_missing_is_named(tmp_path: Path) -> None:
    ensemble(ensemble="models").save(tmp_path)
    (tmp_path / "member-3.safetensors").unlink()
    with pytest.raises(InputError, match=r"member-3\.safetensors: no such file"):
        load_reward_model(tmp_path)


def test_whole_models_share_no_weights_and_heads_share_the_trunk() -> None:
    models = ensemble(ensemble="models")
    assert isinstance(models, Ensemble)
    first, second, _ = models
    assert not torch.equal(first.trunk.embedding.weight, second.trunk.embedding.weight)
    heads = ensemble(ensemble="heads")
    assert isinstance(heads, RewardModel)
    assert heads.head.weight.shape[0] == 3


def test_each_head_learns_from_a_sample_of_its_own() -> None:
    counts = bootstrap_counts(20_000, members=2, seed=0)
    assert counts is not None
    assert counts.mean(dim=0).tolist() == pytest.approx([1, 1], abs=0.03)
    assert (counts == 0).float().mean().item() == pytest.approx(math.exp(-1), abs=0.01)
    assert torch.corrcoef(counts.T)[0, 1].abs() < 0.03
    assert bootstrap_counts(10, members=1, seed=0) is None


def test_a_single_model_agrees_with_itself() -> None:
    model = taught(rankings(10), epochs=1).model
    assert model.members == 1
    assert model.disagreement([""] * 6, TEXTS) == [0.0] * 6
    assert model.score([""] * 6, TEXTS, aggregation="cautious") == pytest.approx(model.score([""] * 6, TEXTS))


def test_whole_models_on_a_frozen_trunk_are_refused() -> None:
    with pytest.raises(InputError, match="ensemble: models on a frozen trunk"):
        RewardConfig(members=2, ensemble="models", trunk="frozen")
