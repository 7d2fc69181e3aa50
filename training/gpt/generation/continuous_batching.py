"""Continuous batching: completions join and leave a running batch at every step, each with its own options.

The scheduling of Yu et al. 2022 ("Orca"), on the same prefill, forward pass and sampling as ``Decoder``,
which is for completions that all begin together and share their options.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig
from training.gpt.generation.decoding import has_repetition_penalty, prefill, prompt_token_mask
from training.gpt.generation.detokenizer import Detokenizer
from training.gpt.generation.sampling import sample_next_tokens
from training.gpt.generation.slot_cache import SlotCache
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer


@dataclass(frozen=True)
class SampledToken:
    """A token of a completion, with its log-probability as ``sample_next_tokens`` defines it."""

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()  # the most likely tokens, best first, if they were asked for
    text_start: int = 0  # length of the text that was final before it


@dataclass(eq=False)
class RunningCompletion:
    """One completion while it is generated. Its text is exactly what ``complete`` gives with its seed."""

    prompt: Sequence[int]  # ids, with the beginning-of-text token
    sampling: SamplingConfig  # how tokens are chosen; its seed, stop and max_new_tokens are not read
    max_new_tokens: int  # at most what fits the context after the prompt
    detokenizer: Detokenizer  # knows the stop strings
    generator: torch.Generator  # on the CPU; its own, so that no other completion changes what it draws
    top_logprobs: int = 0
    tokens: list[SampledToken] = field(default_factory=list)
    text: str = ""  # what is final so far
    finish_reason: Literal["stop", "length"] | None = None
    seen: Tensor | None = None  # [V] which tokens a repetition penalty applies to

    def add(self, token: int, logprob: float, top: tuple[tuple[int, float], ...], *, is_end: bool) -> None:
        """Add the next token."""
        start = len(self.text)
        self.text += self.detokenizer.add(token)
        if is_end or self.detokenizer.stopped:
            self.finish_reason = "stop"
        elif len(self.tokens) + 1 >= self.max_new_tokens:
            self.finish_reason = "length"
        if self.finish_reason:
            self.text += self.detokenizer.flush()
        self.tokens.append(SampledToken(token, logprob, top, start))
        if self.seen is not None:
            self.seen[token] = True


class ContinuousBatch:
    """The completions that a model generates together."""

    def __init__(self, model: GPT, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.rows: list[RunningCompletion] = []
        self._ends = frozenset(tokenizer.eos_ids)
        self._cache = SlotCache(model)

    @torch.inference_mode()
    def step(self, joining: Sequence[RunningCompletion] = ()) -> list[RunningCompletion]:
        """Add a token to every row, after ``joining`` were added to them; give all that got one.

        A completion that is finished has left the batch when this returns.
        """
        logits = []
        if self.rows:
            last = torch.tensor([[row.tokens[-1].id] for row in self.rows], device=self.model.device)
            logits.append(self.model.logits(self.model.hidden(last, cache=self._cache)[:, -1]))
        if joining:
            logits.append(self._read_prompts(joining))
            self.rows += joining
        if not logits:
            return []
        rows = list(self.rows)
        for row, (token, logprob, top) in zip(rows, self._sample(torch.cat(logits)), strict=True):
            row.add(token, logprob, top, is_end=token in self._ends)
        for row in rows:
            if row.finish_reason:
                self.remove(row)
        return rows

    @torch.inference_mode()
    def remove(self, completion: RunningCompletion) -> None:
        """Take a completion out of the batch, finished or not."""
        slot = self.rows.index(completion)
        last = self.rows.pop()
        if last is not completion:
            self.rows[slot] = last
        self._cache.leave(slot)

    def _read_prompts(self, joining: Sequence[RunningCompletion]) -> Tensor:
        """Read the prompts of new rows, each once however many share it; give their logits [rows, V]."""
        prompts = list(dict.fromkeys(tuple(row.prompt) for row in joining))
        cache, logits = prefill(self.model, prompts, pad_id=self.tokenizer.pad_id, max_length=0)
        number = {prompt: place for place, prompt in enumerate(prompts)}
        places = [number[tuple(row.prompt)] for row in joining]
        for row, place in zip(joining, places, strict=True):
            self._cache.join(cache, place, len(row.prompt))
            if has_repetition_penalty(row.sampling):
                row.seen = prompt_token_mask([row.prompt], eos_ids=self.tokenizer.eos_ids, like=logits[:1])[0]
        return logits[torch.tensor(places, device=logits.device)]

    def _sample(self, logits: Tensor) -> list[tuple[int, float, tuple[tuple[int, float], ...]]]:
        """A token for each row of ``logits`` [R, V]; rows with the same options are sampled together."""
        groups: dict[SamplingConfig, list[int]] = {}
        for place, row in enumerate(self.rows):
            groups.setdefault(row.sampling, []).append(place)
        sampled: dict[int, tuple[int, float, tuple[tuple[int, float], ...]]] = {}
        for sampling, places in groups.items():
            rows = [self.rows[place] for place in places]
            own = logits if len(groups) == 1 else logits[torch.tensor(places, device=logits.device)]
            seen = [row.seen for row in rows if row.seen is not None]
            tokens, logprobs = sample_next_tokens(
                own, sampling, [row.generator for row in rows], seen=torch.stack(seen) if seen else None
            )
            tops = _most_likely(own, sampling.temperature, [row.top_logprobs for row in rows])
            sampled |= zip(places, zip(tokens.tolist(), logprobs.tolist(), tops, strict=True), strict=True)
        return [sampled[place] for place in range(len(self.rows))]


def _most_likely(
    logits: Tensor, temperature: float, counts: Sequence[int]
) -> list[tuple[tuple[int, float], ...]]:
    """The most likely tokens of each row of ``logits`` [R, V], as many as its count says, best first.

    Their log-probabilities are of the distribution that that of the sampled token is of.
    """
    if not any(counts):
        return [()] * len(counts)
    scaled = logits.float() / (temperature or 1)
    best = scaled.log_softmax(dim=-1).topk(min(max(counts), logits.shape[-1]), dim=-1)
    rows = zip(counts, best.indices.tolist(), best.values.tolist(), strict=True)
    return [tuple(zip(ids[:count], values[:count], strict=True)) for count, ids, values in rows]
