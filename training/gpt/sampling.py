"""One step of writing: from logits to the next token and its log-probability."""

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig


def choose(
    logits: Tensor, sampling: SamplingConfig, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Pick a token for each row of ``logits`` [R, V]; give ids [R] and log-probabilities [R].

    The log-probability is that of the whole distribution at this temperature (1 when greedy), before top-k
    and top-p cut it: what a forward pass over the same text says.
    """
    logits = logits.float()
    if sampling.temperature == 0:
        tokens = logits.argmax(dim=-1)
        return tokens, logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
    logprobs = (logits / sampling.temperature).log_softmax(dim=-1)
    tokens = draw(truncate(logprobs, top_k=sampling.top_k, top_p=sampling.top_p).exp(), generator)
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0]


def truncate(logprobs: Tensor, *, top_k: int, top_p: float) -> Tensor:
    """Set to -inf what is not among the ``top_k`` likeliest tokens (0: all), nor in the ``top_p`` nucleus.

    The nucleus is the smallest set of likeliest tokens whose probability reaches ``top_p``, taken after top-k
    has been renormalised (Holtzman et al. 2020). The likeliest token always stays. [R, V] in and out.
    """
    if 0 < top_k < logprobs.shape[-1]:
        # By index and not by value, so that equal logits cannot let more than k through.
        kept = logprobs.topk(top_k, dim=-1).indices
        logprobs = torch.full_like(logprobs, -torch.inf).scatter(1, kept, logprobs.gather(1, kept))
    if top_p < 1:
        ordered, order = logprobs.sort(dim=-1, descending=True, stable=True)
        probability = ordered.softmax(dim=-1)
        beyond = probability.cumsum(dim=-1) - probability >= top_p
        logprobs = logprobs.masked_fill(torch.zeros_like(beyond).scatter(1, order, beyond), -torch.inf)
    return logprobs


def draw(weights: Tensor, generator: torch.Generator | None) -> Tensor:
    """Sample an index per row of ``weights`` [R, V] (>= 0, any positive sum) by inverting their running sum.

    Several times as fast on a CPU as ``torch.multinomial``.
    """
    running = weights.cumsum(dim=-1)
    total = running[:, -1:]
    uniform = torch.rand(total.shape, generator=generator, device=weights.device, dtype=weights.dtype)
    # Rounding must not lift the point to the total itself: beyond the last possible token lies nothing.
    point = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(running, point, right=True)[:, 0]
