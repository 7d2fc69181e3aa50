import numpy as np
import pytest
import torch

from training.gpt.random_seeds import mix_seeds, permute, seed_torch, seeded_generator, shuffled_index


@pytest.mark.parametrize("count", [1, 2, 3, 5, 64, 1000, 4097])
def test_shuffling_is_a_permutation(count: int) -> None:
    assert sorted(permute(np.arange(count), count, 0, 7)) == list(range(count))


def test_shuffling_spreads_neighbours_evenly() -> None:
    """Over many seeds, each place is as likely as any other, and where one goes says nothing of the next."""
    count, draws = 10, 4000
    places = np.array([permute(np.arange(2), count, seed) for seed in range(draws)])
    seen = np.zeros((count, count))
    np.add.at(seen, (places[:, 0], places[:, 1]), 1)
    expected = draws / (count * (count - 1))
    off_diagonal = seen[~np.eye(count, dtype=bool)]
    chi_square = float(((off_diagonal - expected) ** 2 / expected).sum())
    assert chi_square < 89 + 4 * (2 * 89) ** 0.5


def test_every_epoch_of_the_endless_order_has_each_item_once_in_a_new_order() -> None:
    order = [shuffled_index(index, count=10, seed=3) for index in range(20)]
    assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
    assert order[:10] != order[10:]
    assert order != [shuffled_index(index, count=10, seed=4) for index in range(20)]


def test_seeds_decide_random_numbers_whatever_was_drawn_before() -> None:
    seed_torch(1, 2)
    first = torch.rand(3)
    torch.rand(5)
    seed_torch(1, 2)
    assert torch.equal(torch.rand(3), first)
    assert mix_seeds(1, 2) != mix_seeds(2, 1)
    generated = torch.rand(3, generator=seeded_generator(1, 2))
    assert torch.equal(torch.rand(3, generator=seeded_generator(1, 2)), generated)
    assert not torch.equal(torch.rand(3, generator=seeded_generator(2, 1)), generated)
