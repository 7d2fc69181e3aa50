"""Randomness as a function of a few integers, so that a resumed training, or one of several processes,
repeats it.

Nothing here depends on what happened before. A seed is one or more integers of at least 0, such as a config's
seed and the number of a step.
"""

import numpy as np
import numpy.typing as npt
import torch


def mix_seeds(*seeds: int) -> int:
    """One well-mixed 64-bit seed from several integers; (0, 1) and (1, 0) give different ones."""
    return int(np.random.SeedSequence(seeds).generate_state(1, np.uint64)[0])


def seed_torch(*seeds: int) -> None:
    """Seed torch's global generators, which dropout uses."""
    torch.manual_seed(mix_seeds(*seeds))


def seeded_generator(*seeds: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on ``device`` for these seeds only."""
    return torch.Generator(device).manual_seed(mix_seeds(*seeds) >> 1)  # a CUDA generator takes 63 bits


def permute(indices: npt.NDArray[np.int64], count: int, *seeds: int) -> npt.NDArray[np.int64]:
    """Where ``indices`` go under a random permutation of ``range(count)``.

    The permutation is never stored, so that ``count`` may be that of a large corpus. A Feistel network of six
    rounds permutes the next power of four; what falls outside the range is sent through again until it is
    inside (Black and Rogaway 2002, "cycle walking").
    """
    keys = np.random.SeedSequence(seeds).generate_state(6, np.uint64).astype(np.uint64)
    half = np.uint64(max(1, -(-(count - 1).bit_length() // 2)))
    mask = (np.uint64(1) << half) - np.uint64(1)
    permuted = indices.astype(np.uint64)
    outside = np.ones(len(permuted), dtype=bool)
    while outside.any():
        left, right = permuted[outside] >> half, permuted[outside] & mask
        for key in keys:
            left, right = right, left ^ (_mix_bits(right ^ key) & mask)
        permuted[outside] = left << half | right
        outside = permuted >= count
    return permuted.astype(np.int64)


def shuffled_index(index: int, *, count: int, seed: int) -> int:
    """Which of ``count`` items comes at ``index`` of an endless order; each epoch has every item once,
    reshuffled."""
    epoch, place = divmod(index, count)
    return int(permute(np.array([place]), count, seed, epoch)[0])


def _mix_bits(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Scatter 64 bits (the finaliser of splitmix64; Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
