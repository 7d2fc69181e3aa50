"""Why a policy reads its own samples otherwise than it wrote them.

The log-probabilities a completion was sampled with and those of reading it at once must agree, or every KL,
ratio and gradient is of another policy than the one that acts. Where they do not, this finds the cause.
"""

import math

import torch
from torch import Tensor

from training.rlhf.tuning.learner import Reader
from training.rlhf.tuning.rollouts import Rollouts, sequence_logprobs

TOLERANCE = {torch.float32: 1e-2, torch.bfloat16: 0.5}
"""Largest difference of one token's log-probability, in nats, that rounding explains."""


@torch.no_grad()
def cause_of_misreading(reader: Reader, rollouts: Rollouts) -> str:
    """One line that names the likely cause, with what was measured."""
    written, mask = rollouts.generation.logprobs, rollouts.generation.mask
    first, second = _read(reader, rollouts), _read(reader, rollouts)
    off = _distance(first, written)
    begin = f"policy: it reads its own samples {off:.2g} nats a token off what it wrote them with"
    if _distance(first, second) > 1e-6:
        return f"{begin}, and differently each time: dropout (or something else random) is on; turn it off"
    longest = max(map(len, rollouts.prompts))
    padded = torch.tensor([len(prompt) < longest for prompt in rollouts.prompts], device=mask.device)
    if padded.any() and _distance(first[~padded], written[~padded]) < 0.1 * off:
        return f"{begin}, but only where a longer prompt stood beside it: padding was read as text"
    temperature = _temperature(reader, rollouts)
    if _distance(_read(reader, rollouts, temperature=temperature), written) < 0.1 * off:
        return (
            f"temperature: the samples were written at {temperature:.2g} and are read at "
            f"{reader.temperature:g}; sampling and every log-probability must use the same"
        )
    return (
        f"{begin}: top-k, top-p or a penalty bent what was sampled from, or the prompt it was given was "
        f"another ({int(mask.sum())} tokens compared)"
    )


def _read(reader: Reader, rollouts: Rollouts, *, temperature: float | None = None) -> Tensor:
    return sequence_logprobs(
        reader.model,
        rollouts.prompts,
        rollouts.completions,
        temperature=temperature or reader.temperature,
    )


def _distance(one: Tensor, other: Tensor) -> float:
    """The mean difference at the places where a token stands; 0 elsewhere in both."""
    return (one - other).abs().sum().item() / max(1, int((other != 0).sum()))


def _temperature(reader: Reader, rollouts: Rollouts) -> float:
    """The temperature at which reading comes nearest to what was written, between a tenth and ten times."""
    written = rollouts.generation.logprobs

    def miss(power: float) -> float:
        return _distance(_read(reader, rollouts, temperature=reader.temperature * 10**power), written)

    # A coarse grid, then a golden-section search around its best place.
    best = min((place / 10 for place in range(-10, 11)), key=miss)
    low, high, golden = best - 0.1, best + 0.1, (math.sqrt(5) - 1) / 2
    for _ in range(20):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if miss(left) < miss(right) else (left, high)
    return reader.temperature * 10 ** ((low + high) / 2)
