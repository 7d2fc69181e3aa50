"""One sampling step: from logits to the next token and its log-probability."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig

Generators: TypeAlias = torch.Generator | Sequence[torch.Generator] | None
"""Where random numbers come from: one generator for all rows, on their device; one for each row, on the CPU;
or torch's global one."""


def sample_next_tokens(
    logits: Tensor,
    sampling: SamplingConfig,
    generator: Generators,
    *,
    seen: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Pick a token for each row of ``logits`` [R, V]; give ids [R] and log-probabilities [R].

    The log-probability is that of the model's full distribution at this temperature (1 when greedy), before
    any other option changes it: that of a forward pass over the same text. ``seen`` [R, V] marks the tokens
    that the repetition penalty applies to; it is needed only with such a penalty.
    """
    logits = logits.float()
    greedy = sampling.temperature == 0
    if not greedy and sampling.temperature != 1:
        logits = logits / sampling.temperature
    if seen is None and not greedy and (sampling.top_k, sampling.top_p, sampling.min_p) == (0, 1, 0):
        return sample_full_distribution(logits, generator)
    # The penalty comes before the temperature, but both only multiply, so their order does not matter.
    shaped = logits if seen is None else apply_repetition_penalty(logits, seen, sampling.repetition_penalty)
    if greedy:
        tokens = shaped.argmax(dim=-1)
    else:
        weights, ids = truncate_distribution(
            shaped, top_k=sampling.top_k, top_p=sampling.top_p, min_p=sampling.min_p
        )
        tokens = sample_from_weights(weights, generator)
        if ids is not None:
            tokens = ids.gather(1, tokens[:, None])[:, 0]
    return tokens, logits.gather(1, tokens[:, None])[:, 0] - logits.logsumexp(dim=-1)


def sample_full_distribution(logits: Tensor, generator: Generators) -> tuple[Tensor, Tensor]:
    """Sample from the full distribution of ``logits`` [R, V]; give ids [R] and log-probabilities [R].

    The same as the general case with fewer passes over the vocabulary; rollouts are sampled like this.
    """
    top = logits.amax(dim=-1, keepdim=True)
    weights = (logits - top).exp_()
    tokens = sample_from_weights(weights, generator)[:, None]
    chosen = logits.gather(1, tokens) - top
    return tokens[:, 0], (chosen - weights.sum(dim=-1, keepdim=True).log_())[:, 0]


def apply_repetition_penalty(logits: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make ``seen`` [R, V] tokens less likely: divide positive logits, multiply negative ones. [R, V]

    Keskar et al. 2019 ("CTRL"), with the fix of ``transformers``: dividing a negative logit would raise it.
    """
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def truncate_distribution(
    logits: Tensor, *, top_k: int, top_p: float, min_p: float
) -> tuple[Tensor, Tensor | None]:
    """The truncated distribution: unnormalised weights [R, K] and the ids [R, K] that they belong to.

    The ids are None where the weights are in vocabulary order. Keeps the ``top_k`` most likely tokens (0:
    all), exactly that many even among ties; of these the nucleus, the smallest set of most likely tokens
    whose probability reaches ``top_p`` (Holtzman et al. 2020); and of these the ones at least ``min_p`` times
    as likely as the most likely (Nguyen et al. 2024). The most likely token is always kept.
    """
    ids = None
    if 0 < top_k < logits.shape[-1]:
        logits, ids = logits.topk(top_k, dim=-1)
    weights = logits.softmax(dim=-1)
    if top_p < 1:
        if ids is None:
            weights, ids = largest_weights(weights, share=top_p)
        weights = weights.masked_fill(weights.cumsum(dim=-1) - weights >= top_p, 0)
    if min_p > 0:
        weights = weights.masked_fill(weights < min_p * weights.amax(dim=-1, keepdim=True), 0)
    return weights, ids


def largest_weights(weights: Tensor, *, share: float) -> tuple[Tensor, Tensor]:
    """The largest of ``weights`` [R, V], enough of them to sum to ``share`` in each row, in descending order.

    Gives them and their indices, [R, K] both. Sorting a large vocabulary can take as long as the model
    itself, and is rarely needed.
    """
    count = 256
    while count < weights.shape[-1]:
        largest, places = weights.topk(count, dim=-1)
        if bool((largest.sum(dim=-1) >= share).all()):
            return largest, places
        count *= 8
    return weights.sort(dim=-1, descending=True)


def sample_from_weights(weights: Tensor, generator: Generators) -> Tensor:
    """Sample an index per row of ``weights`` [R, K] (>= 0, any positive sum) by inverting their cumulative
    sum.

    Several times faster on a CPU than ``torch.multinomial``.
    """
    running = weights.cumsum(dim=-1)
    total = running[:, -1:]
    uniform = uniform_draws(total, generator)
    # Rounding must not lift the point to the total itself, which is past the last possible token.
    point = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    # For NaN weights, take the last token: its log-probability is NaN too, where an index past it would
    # crash.
    return torch.searchsorted(running, point, right=True)[:, 0].clamp_max(weights.shape[-1] - 1)


def uniform_draws(like: Tensor, generator: Generators) -> Tensor:
    """A uniform number from [0, 1) for each row of ``like`` [R, 1], of its type and on its device."""
    if generator is None or isinstance(generator, torch.Generator):
        return torch.rand(like.shape, generator=generator, device=like.device, dtype=like.dtype)
    return torch.stack([torch.rand(1, generator=each, dtype=like.dtype) for each in generator]).to(
        like.device
    )
