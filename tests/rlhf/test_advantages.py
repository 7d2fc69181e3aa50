import pytest
import torch

from training.rlhf.tuning.advantages import (
    expand_to_tokens,
    gae,
    grpo,
    grpo_published,
    masked_moments,
    reinforce,
    rloo,
    token_rewards,
    update_baseline,
    whiten,
)

REWARDS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
NOTHING = torch.zeros((), dtype=torch.float64)
LENGTHS = [5, 1, 3, 2, 4, 5, 1, 2]
MASK = torch.arange(5)[None] < torch.tensor(LENGTHS)[:, None]


def ragged(seed: int) -> torch.Tensor:
    """Numbers at every place, those outside the mask too, where nobody may look."""
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rloo_compares_each_sample_with_the_mean_of_the_others() -> None:
    slow = torch.empty_like(REWARDS)
    for p in range(5):
        for k in range(4):
            others = [REWARDS[p, other].item() for other in range(4) if other != k]
            slow[p, k] = REWARDS[p, k] - sum(others) / 3
    torch.testing.assert_close(rloo(REWARDS, NOTHING), slow)


def test_rloo_is_the_centred_reward_times_k_over_k_minus_one() -> None:
    centred = REWARDS - REWARDS.mean(dim=1, keepdim=True)
    torch.testing.assert_close(rloo(REWARDS, NOTHING), 4 / 3 * centred)


def test_grpo_divides_by_nothing_unless_asked_to_and_then_by_the_groups_deviation() -> None:
    for p in range(5):
        group = REWARDS[p].tolist()
        mean = sum(group) / 4
        deviation = (sum((reward - mean) ** 2 for reward in group) / 3) ** 0.5
        centred = [reward - mean for reward in group]
        assert grpo(REWARDS, NOTHING)[p].tolist() == pytest.approx(centred)
        assert grpo_published(REWARDS, NOTHING)[p].tolist() == pytest.approx(
            [each / (deviation + 1e-4) for each in centred]
        )


@pytest.mark.parametrize("estimator", [rloo, grpo, grpo_published])
def test_equal_rewards_in_a_group_teach_nothing(estimator: type) -> None:
    assert estimator(torch.full((2, 3), 7.0), NOTHING).eq(0).all()


def test_reinforce_compares_with_earlier_batches_only() -> None:
    torch.testing.assert_close(reinforce(REWARDS, torch.tensor(0.5)), REWARDS - 0.5)


def test_the_moving_baseline_begins_at_the_first_mean_and_follows() -> None:
    first = update_baseline(None, torch.tensor(2.0))
    assert first.item() == 2.0
    second = update_baseline(first, torch.tensor(12.0), decay=0.9)
    torch.testing.assert_close(second, torch.tensor(0.9 * 2.0 + 0.1 * 12.0))


def test_every_token_of_a_sequence_has_its_advantage_and_no_pad_has_any() -> None:
    advantages = torch.arange(1.0, 9.0).view(2, 4)
    found, shared = expand_to_tokens(advantages, MASK), expand_to_tokens(advantages, MASK, by_length=True)
    for row, length in enumerate(LENGTHS):
        assert found[row].tolist() == [row + 1.0] * length + [0.0] * (5 - length)
        assert shared[row].sum().item() == pytest.approx(row + 1.0)


def test_the_score_is_paid_at_the_last_real_token_and_the_kl_at_each() -> None:
    scores, kl_penalties = ragged(1)[:, 0], ragged(2)
    found = token_rewards(scores, kl_penalties, MASK)
    for row, length in enumerate(LENGTHS):
        slow = [-kl_penalties[row, place].item() for place in range(length)]
        slow[-1] += scores[row].item()
        assert found[row].tolist() == pytest.approx(slow + [0.0] * (5 - length))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.95, 1.0])
def test_gae_equals_a_plain_loop_over_ragged_sequences(decay: float) -> None:
    rewards, values = ragged(3), ragged(4)
    found = gae(rewards, values, MASK, decay=decay)
    for row, length in enumerate(LENGTHS):
        slow, later = [0.0] * 5, 0.0
        for place in reversed(range(length)):
            following = values[row, place + 1].item() if place + 1 < length else 0.0
            later = rewards[row, place].item() + following - values[row, place].item() + decay * later
            slow[place] = later
        assert found[row].tolist() == pytest.approx(slow)


def test_with_a_decay_of_one_gae_is_what_still_comes_less_the_value() -> None:
    rewards, values = ragged(5).masked_fill(~MASK, 0.0), ragged(6)
    coming = rewards.flip(1).cumsum(dim=1).flip(1)
    torch.testing.assert_close(
        gae(rewards, values, MASK, decay=1.0), (coming - values).masked_fill(~MASK, 0.0)
    )


def test_what_lies_outside_the_mask_changes_no_advantage() -> None:
    spoilt = torch.where(MASK, ragged(3), torch.inf)
    torch.testing.assert_close(
        gae(spoilt, torch.where(MASK, ragged(4), torch.nan), MASK, decay=0.9),
        gae(ragged(3), ragged(4), MASK, decay=0.9),
    )


def test_whitened_advantages_have_mean_zero_and_deviation_one_over_the_mask() -> None:
    white = whiten(ragged(7), MASK, masked_moments(ragged(7), MASK))
    assert white[MASK].mean().item() == pytest.approx(0, abs=1e-12)
    assert white[MASK].std(correction=0).item() == pytest.approx(1)
    assert white[~MASK].eq(0).all()


def test_two_processes_whiten_as_one_does() -> None:
    both = masked_moments(ragged(7), MASK)
    halves = [masked_moments(ragged(7)[rows], MASK[rows]) for rows in (slice(0, 4), slice(4, 8))]
    torch.testing.assert_close(torch.stack(halves).sum(dim=0), both)
