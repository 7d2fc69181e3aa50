"""Writing: one engine for commands, samples to judge, and rollouts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from training.gpt.beams import beam_search
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT, KVCache
from training.gpt.sampling import choose
from training.gpt.tokenizer import Tokenizer

# Taking ended rows out copies the cache: worth it once this share of the rows is idle.
_IDLE_SHARE = 0.25


@dataclass(frozen=True)
class Generation:
    """N completions of at most L tokens; the samples of one prompt stand together, in the prompts' order."""

    tokens: Tensor  # [N, L] ids; pad_id after the end
    mask: Tensor  # [N, L] bool: True up to and including the end token
    logprobs: Tensor  # [N, L] float32, of what was sampled, at the sampling temperature; 0 outside the mask
    ended: Tensor  # [N] bool: came to the end token within the budget

    def completions(self) -> list[list[int]]:
        """The ids of each completion, without padding."""
        return [row[kept].tolist() for row, kept in zip(self.tokens, self.mask, strict=True)]


def never() -> bool:
    """The ``should_stop`` of those who cannot be stopped."""
    return False


@torch.inference_mode()
def generate(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    *,
    eos_id: int,
    pad_id: int,
    samples_per_prompt: int = 1,
    generator: torch.Generator | None = None,
    should_stop: Callable[[], bool] = never,
) -> Generation:
    """Complete each prompt (ids, the leading end-of-text included) ``samples_per_prompt`` times.

    Dropout is off whatever mode the model is in. A completion also ends where prompt and completion fill the
    context. ``generator`` must be on the model's device; without one, ``sampling.seed`` decides. When
    ``should_stop`` says so, what has been written so far is given back.
    """
    budget = _budget(model, prompts, sampling)
    was_training = model.training
    model.eval()
    try:
        if sampling.beams > 1:
            return _search(
                model,
                prompts,
                sampling=sampling,
                budget=budget,
                eos_id=eos_id,
                pad_id=pad_id,
                samples_per_prompt=samples_per_prompt,
                should_stop=should_stop,
            )
        if generator is None and sampling.seed >= 0:
            generator = torch.Generator(model.device).manual_seed(sampling.seed)
        cache, logits = _prefill(model, prompts, pad_id=pad_id, room=budget)
        if samples_per_prompt > 1:
            copies = torch.arange(len(prompts), device=model.device).repeat_interleave(samples_per_prompt)
            cache.select(copies)
            logits = logits[copies]
        return _sample(
            model,
            cache,
            logits,
            sampling=sampling,
            budget=budget,
            eos_id=eos_id,
            pad_id=pad_id,
            generator=generator,
            should_stop=should_stop,
        )
    finally:
        model.train(was_training)


def generate_text(
    model: GPT,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    sampling: SamplingConfig,
    *,
    samples_per_prompt: int = 1,
    batch_size: int = 256,
    generator: torch.Generator | None = None,
    should_stop: Callable[[], bool] = never,
) -> list[list[str]]:
    """Complete each prompt; give for each a list of what exactly follows it (leading space too)."""
    if generator is None and sampling.seed >= 0:
        generator = torch.Generator(model.device).manual_seed(sampling.seed)
    written: list[list[str]] = []
    stride = max(1, batch_size // samples_per_prompt)
    for first in range(0, len(prompts), stride):
        ids = [tokenizer.prompt(prompt) for prompt in prompts[first : first + stride]]
        completions = generate(
            model,
            ids,
            sampling,
            eos_id=tokenizer.eos_id,
            pad_id=tokenizer.pad_id,
            samples_per_prompt=samples_per_prompt,
            generator=generator,
            should_stop=should_stop,
        ).completions()
        for place, prompt in enumerate(ids):
            own = completions[place * samples_per_prompt : (place + 1) * samples_per_prompt]
            written.append([tokenizer.continuation(prompt, completion) for completion in own])
    return written


def pad_left(rows: Sequence[Sequence[int]], *, pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack ragged rows [B, longest] with pads at the left; give also how many each row got [B]."""
    longest = max(map(len, rows))
    padding = torch.tensor([longest - len(row) for row in rows], device=device)
    filled = [[pad_id] * (longest - len(row)) + list(row) for row in rows]
    return torch.tensor(filled, device=device), padding


def _budget(model: GPT, prompts: Sequence[Sequence[int]], sampling: SamplingConfig) -> int:
    if not prompts:
        raise InputError("prompts: there is none to complete")
    if min(map(len, prompts)) == 0:
        raise InputError("prompts: an empty prompt must still hold the end-of-text token")
    longest, context = max(map(len, prompts)), model.config.context
    if longest >= context:
        raise InputError(
            f"prompt: {longest} tokens leave no room in a context of {context}; shorten the prompt"
        )
    return min(sampling.max_new_tokens, context - longest)


def _prefill(
    model: GPT, prompts: Sequence[Sequence[int]], *, pad_id: int, room: int
) -> tuple[KVCache, Tensor]:
    """Read all prompts at once; give the cache and the logits [B, V] of the first new token."""
    tokens, padding = pad_left(prompts, pad_id=pad_id, device=model.device)
    cache = KVCache(model, rows=len(prompts), capacity=tokens.shape[1] + room)
    hidden = model.hidden(tokens, cache=cache, padding=padding if bool(padding.any()) else None)
    return cache, model.logits(hidden[:, -1])


def _sample(
    model: GPT,
    cache: KVCache,
    logits: Tensor,
    *,
    sampling: SamplingConfig,
    budget: int,
    eos_id: int,
    pad_id: int,
    generator: torch.Generator | None,
    should_stop: Callable[[], bool],
) -> Generation:
    rows = logits.shape[0]
    tokens = torch.full((rows, budget), pad_id, device=model.device)
    logprobs = torch.zeros((rows, budget), device=model.device)
    mask = torch.zeros((rows, budget), dtype=torch.bool, device=model.device)
    ended = torch.zeros(rows, dtype=torch.bool, device=model.device)
    places = torch.arange(rows, device=model.device)  # which completion each row of the batch writes
    length = 0
    while True:
        chosen, logprob = choose(logits, sampling, generator)
        going = ~ended[places]
        live = places[going]
        tokens[live, length], logprobs[live, length], mask[live, length] = chosen[going], logprob[going], True
        ended[live] = chosen[going] == eos_id
        length += 1
        going = ~ended[places]
        left = int(going.sum())
        if left == 0 or length == budget or should_stop():
            break
        if left <= (1 - _IDLE_SHARE) * len(places):
            kept = going.nonzero()[:, 0]
            cache.select(kept)
            places, chosen = places[kept], chosen[kept]
        logits = model.logits(model.hidden(chosen[:, None], cache=cache)[:, -1])
    return Generation(tokens[:, :length], mask[:, :length], logprobs[:, :length], ended)


def _search(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    *,
    sampling: SamplingConfig,
    budget: int,
    eos_id: int,
    pad_id: int,
    samples_per_prompt: int,
    should_stop: Callable[[], bool],
) -> Generation:
    if samples_per_prompt > sampling.beams:
        raise InputError(
            f"beams: {sampling.beams} beams cannot give {samples_per_prompt} samples; raise beams"
        )
    found = []
    for prompt in prompts:
        best = beam_search(
            model, prompt, sampling, eos_id=eos_id, max_new_tokens=budget, should_stop=should_stop
        )
        # A tiny vocabulary may hold fewer completions than asked for: repeat the last.
        found += [best[min(place, len(best) - 1)] for place in range(samples_per_prompt)]
    length = max(len(each.tokens) for each in found)
    tokens = torch.full((len(found), length), pad_id, device=model.device)
    logprobs = torch.zeros((len(found), length), device=model.device)
    mask = torch.zeros((len(found), length), dtype=torch.bool, device=model.device)
    for row, each in enumerate(found):
        size = len(each.tokens)
        tokens[row, :size] = torch.tensor(each.tokens, device=model.device)
        logprobs[row, :size] = torch.tensor(each.logprobs, device=model.device)
        mask[row, :size] = True
    return Generation(
        tokens, mask, logprobs, torch.tensor([each.ended for each in found], device=model.device)
    )
