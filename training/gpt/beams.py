"""Beam search: the likeliest completions, not random ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig
from training.gpt.model import GPT, KVCache


@dataclass(frozen=True)
class Hypothesis:
    """A completion (its ids, with the end token if it came to one) and the log-probability of each id."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    ended: bool

    def score(self, length_penalty: float) -> float:
        """Total log-probability over length ** penalty (Wu et al. 2016 without the constant)."""
        return float(sum(self.logprobs) / max(1, len(self.tokens)) ** length_penalty)


def beam_search(
    model: GPT,
    prompt: Sequence[int],
    sampling: SamplingConfig,
    *,
    eos_id: int,
    max_new_tokens: int,
    should_stop: Callable[[], bool],
) -> list[Hypothesis]:
    """Complete one prompt; give up to ``sampling.beams`` hypotheses, best first.

    Each step extends every living beam by every token, and keeps the ``beams`` best that have not ended;
    those that end leave the race with their score. When the budget ends, living beams count as they stand.
    """
    beams = sampling.beams
    cache = KVCache(model, rows=1, capacity=len(prompt) + max_new_tokens)
    logprobs = _next(model, torch.tensor([list(prompt)], device=model.device), cache)
    living = [Hypothesis((), (), ended=False)]
    finished: list[Hypothesis] = []
    for _ in range(max_new_tokens):
        if should_stop():
            break
        totals = torch.tensor([sum(beam.logprobs) for beam in living], device=model.device)
        # Of 2 * beams candidates at most ``beams`` end, so enough are left to go on.
        wanted = min(2 * beams, logprobs.numel())
        best = (totals[:, None] + logprobs).flatten().topk(wanted).indices
        following: list[Hypothesis] = []
        parents: list[int] = []
        for place in best.tolist():
            parent, token = divmod(place, logprobs.shape[1])
            grown = _grow(living[parent], token, float(logprobs[parent, token]), ended=token == eos_id)
            if grown.ended:
                finished.append(grown)
            elif len(following) < beams:
                following.append(grown)
                parents.append(parent)
        living = following
        finished = _best(finished, sampling, beams)
        if not living or (
            len(finished) == beams and not _may_improve(living, finished, sampling, max_new_tokens)
        ):
            break
        cache.select(torch.tensor(parents, device=model.device))
        if len(living[0].tokens) < max_new_tokens:
            newest = torch.tensor([[beam.tokens[-1]] for beam in living], device=model.device)
            logprobs = _next(model, newest, cache)
    return _best([*finished, *living], sampling, beams)


def _next(model: GPT, tokens: Tensor, cache: KVCache) -> Tensor:
    return model.logits(model.hidden(tokens, cache=cache)[:, -1]).float().log_softmax(dim=-1)


def _grow(beam: Hypothesis, token: int, logprob: float, *, ended: bool) -> Hypothesis:
    return Hypothesis((*beam.tokens, token), (*beam.logprobs, logprob), ended=ended)


def _best(hypotheses: list[Hypothesis], sampling: SamplingConfig, count: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda each: each.score(sampling.length_penalty), reverse=True)[:count]


def _may_improve(
    living: list[Hypothesis], finished: list[Hypothesis], sampling: SamplingConfig, longest: int
) -> bool:
    """Whether a living beam could still beat the worst finished one: more tokens add length, no total."""
    bound: float = max(sum(beam.logprobs) for beam in living) / longest**sampling.length_penalty
    return bound > finished[-1].score(sampling.length_penalty)
