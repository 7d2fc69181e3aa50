"""A reward model whose trunk stayed frozen scores in the reference's own pass as it does alone."""

import copy

import pytest
import torch

from tests.rlhf.tiny_policy import WIDTH, tiny_policy
from tests.rounding import rounding
from training.gpt.config import SamplingConfig
from training.gpt.model import GPT
from training.rlhf.reward.reward_model import RewardModel
from training.rlhf.tuning.rollouts import (
    Rollouts,
    reference_logprobs_and_rewards,
    reward_model_on_trunk,
    sample,
    sequence_logprobs,
)


def judged(*, members: int = 1) -> tuple[GPT, RewardModel, Rollouts]:
    policy, tokenizer = tiny_policy()
    judge = RewardModel.from_policy(policy, tokenizer, seed=3, members=members).eval()
    judge.normalise(["a", "b", "c"], ["dd", "e", "fgh"])
    generator = torch.Generator().manual_seed(0)
    sampling = SamplingConfig(max_new_tokens=8)
    return policy, judge, sample(policy, tokenizer, ["", "abc"], sampling, samples=4, generator=generator)


@pytest.mark.parametrize(("members", "aggregation", "accumulate"), [(1, "mean", 1), (3, "cautious", 2)])
def test_log_probabilities_and_scores_are_those_of_two_passes(
    members: int, aggregation: str, accumulate: int
) -> None:
    reference, judge, rollouts = judged(members=members)
    expected, scores = reference_logprobs_and_rewards(
        judge,
        reference,
        rollouts,
        temperature=0.7,
        aggregation=aggregation,
        accumulate=accumulate,
        precision=torch.float32,
    )
    alone = sequence_logprobs(reference, rollouts.prompts, rollouts.completions, temperature=0.7)
    torch.testing.assert_close(expected, alone)
    # Each of two blocks sums over the width in two norms, three projections and the heads, and over four
    # times the width in one more; the last norm and the reward's head follow. A raw reward is about 1.
    tolerance = rounding(2 * 10 * WIDTH + 2 * WIDTH, size=judge.gain.max().item())
    assert scores == pytest.approx(judge.scorer(aggregation)(*rollouts.texts), abs=tolerance)


def test_only_the_very_weights_of_the_reference_count_as_its_trunk() -> None:
    reference, judge, _ = judged()
    assert reward_model_on_trunk(judge, copy.deepcopy(reference)) is judge
    with torch.no_grad():
        judge.trunk.blocks[0].attention.out.weight[0, 0] += 1e-3  # type: ignore[union-attr, index, operator]
    assert reward_model_on_trunk(judge, reference) is None
    assert reward_model_on_trunk(None, reference) is None
