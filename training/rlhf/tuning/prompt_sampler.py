"""Which prompts are in which step, as a function of the seed and the step: a resumed run finds its place."""

import random
from functools import lru_cache

import numpy as np
import torch

from training.gpt.errors import InputError


def share_of_prompts(prompts_per_step: int, *, pieces: int, rank: int, size: int) -> range:
    """Where in each batch the pieces of a process start; the step of the range is their size in prompts.

    `pieces` are those of one process, `rank` and `size` its place among the processes.
    """
    if prompts_per_step % (pieces * size):
        raise InputError(
            f"prompts_per_step: {prompts_per_step} prompts cannot be shared out evenly among {size} processes"
            f" that accumulate {pieces}; give a multiple of {pieces * size}"
        )
    length = prompts_per_step // (pieces * size)
    begin = rank * pieces * length
    return range(begin, begin + pieces * length, length)


def prompt_at(index: int, *, count: int, seed: int) -> int:
    """Which of `count` prompts comes at a place of the endless order: each once before any comes again."""
    epoch, place = divmod(index, count)
    return _order(count, seed, epoch)[place]


def generator_at(index: int, *, seed: int, device: torch.device) -> torch.Generator:
    """The random numbers of the piece that begins at a place of the order, and of no other."""
    mixed = np.random.SeedSequence((seed, index)).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(mixed[0] >> np.uint64(1)))


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> list[int]:
    return random.Random(f"{seed} {epoch}").sample(range(count), count)
