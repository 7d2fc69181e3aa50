import torch

from training.rlhf.advantages import move_baseline, reinforce, rloo

REWARDS = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
NOTHING = torch.zeros((), dtype=torch.float64)


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


def test_equal_rewards_in_a_group_teach_nothing() -> None:
    assert rloo(torch.full((2, 3), 7.0), NOTHING).eq(0).all()


def test_reinforce_compares_with_earlier_batches_only() -> None:
    torch.testing.assert_close(reinforce(REWARDS, torch.tensor(0.5)), REWARDS - 0.5)


def test_the_moving_baseline_begins_at_the_first_mean_and_follows() -> None:
    first = move_baseline(None, torch.tensor([[1.0, 3.0]]))
    assert first.item() == 2.0
    second = move_baseline(first, torch.tensor([[12.0, 12.0]]), decay=0.9)
    torch.testing.assert_close(second, torch.tensor(0.9 * 2.0 + 0.1 * 12.0))
