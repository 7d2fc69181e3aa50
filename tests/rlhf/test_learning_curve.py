import pytest

from tests.rlhf.letter_feedback import rankings
from tests.rlhf.tiny_policy import tiny_policy
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.learning_curve import learning_curve
from training.rlhf.reward.trainer import RewardResult, train_reward_model


def trained(comparisons: list[Comparison], config: RewardConfig) -> RewardResult:
    policy, tokenizer = tiny_policy()
    return train_reward_model(trunk=policy, tokenizer=tokenizer, comparisons=comparisons, config=config)


def curve(
    comparisons: list[Comparison], config: RewardConfig, *, stop: bool = False
) -> list[dict[str, float]]:
    policy, tokenizer = tiny_policy()
    return learning_curve(
        trunk=policy,
        tokenizer=tokenizer,
        comparisons=comparisons,
        config=config,
        full=trained(comparisons, config),
        should_stop=lambda: stop,
    )


def test_each_row_is_what_a_training_on_that_part_comes_to() -> None:
    comparisons = rankings(60, prompts=1)
    config = RewardConfig(epochs=1, heldout=0.3, learning_curve=2, trunk="frozen")
    rows = curve(comparisons, config)
    counts = [row["comparisons"] for row in rows]
    assert len(rows) == 3
    assert counts[1] / counts[2] == pytest.approx(0.5, abs=0.1)
    assert counts[0] / counts[2] == pytest.approx(0.25, abs=0.1)
    full = trained(comparisons, config)
    assert (rows[-1]["accuracy"], rows[-1]["low"]) == (full.accuracy, full.interval[0])
    assert all(row["low"] <= row["accuracy"] <= row["high"] for row in rows)


def test_it_ends_where_told_and_where_there_is_too_little() -> None:
    config = RewardConfig(epochs=1, heldout=0.3, learning_curve=10, trunk="frozen")
    assert len(curve(rankings(12, prompts=1), config)) < 6
    assert len(curve(rankings(12, prompts=1), config, stop=True)) == 1


def test_without_held_out_prompts_there_is_no_curve() -> None:
    assert (
        curve(rankings(6, prompts=1), RewardConfig(epochs=1, heldout=0, learning_curve=2, trunk="frozen"))
        == []
    )
