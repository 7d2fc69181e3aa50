"""The decode loop: each step adds one token to every unfinished completion.

N completions, R rows in the batch (completions not yet dropped from it), V ids in the vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generation.detokenizer import Detokenizer
from training.gpt.generation.sampling import sample_next_tokens
from training.gpt.model import GPT, KVCache

# Dropping finished rows copies the cache: worth it once this share of the rows is idle.
_MIN_IDLE_SHARE = 0.25


@dataclass(frozen=True)
class Generation:
    """N completions of at most L tokens; the samples of a prompt are adjacent, in the order of the
    prompts."""

    tokens: Tensor  # [N, L] ids; pad_id after the end
    mask: Tensor  # [N, L] bool: True up to and including the end token, or the last token of a stop string
    logprobs: Tensor  # [N, L] float32, of the sampled tokens, at the sampling temperature; 0 outside the mask
    ended: Tensor  # [N] bool: reached the end token or a stop string within the budget

    def completions(self) -> list[list[int]]:
        """The ids of each completion, without padding."""
        return [row[kept].tolist() for row, kept in zip(self.tokens, self.mask, strict=True)]


class Decoder:
    """Completions that are being generated.

    All prompts are read in one batch, each once however many samples it gets. Every ``step`` adds a token to
    each row; finished rows are dropped from the batch once there are enough of them.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: GPT,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        *,
        eos_ids: Sequence[int],
        pad_id: int,
        samples_per_prompt: int = 1,
        generator: torch.Generator | None = None,
        detokenizers: Sequence[Detokenizer] = (),
    ) -> None:
        """Read the prompts. With ``detokenizers``, one per completion, stop strings end a row too."""
        self.model, self.sampling, self.generator = model, sampling, generator
        self.ends = torch.tensor(eos_ids, device=model.device)
        self.pad_id = pad_id
        self.detokenizers = detokenizers
        max_lengths = [
            max_length
            for max_length in max_new_tokens_per_prompt(model, prompts, sampling)
            for _ in range(samples_per_prompt)
        ]
        self.budget = max(max_lengths)
        rows, device = len(max_lengths), model.device
        self.cache, self.logits = prefill(model, prompts, pad_id=pad_id, max_length=self.budget)
        self.seen = (
            prompt_token_mask(prompts, eos_ids=eos_ids, like=self.logits)
            if has_repetition_penalty(sampling)
            else None
        )
        if samples_per_prompt > 1:
            self._select_rows(torch.arange(len(prompts), device=device).repeat_interleave(samples_per_prompt))
        self.max_lengths = (
            torch.tensor(max_lengths, device=device) if min(max_lengths) < self.budget else None
        )
        self.tokens = torch.full((rows, self.budget), pad_id, device=device)
        self.logprobs = torch.zeros((rows, self.budget), device=device)
        self.lengths = torch.zeros(rows, dtype=torch.long, device=device)
        self.completion_rows = torch.arange(rows, device=device)  # [R] which completion each row writes
        self.active = torch.ones(rows, dtype=torch.bool, device=device)  # [R]
        self.last_tokens = self.completion_rows  # [R] the last token of each row
        self.active_count = rows  # how many are unfinished
        self.length = 0  # steps taken

    @property
    def done(self) -> bool:
        """Whether every completion has ended or used its budget."""
        return self.active_count == 0 or self.length == self.budget

    @torch.inference_mode()
    def step(self) -> None:
        """Add one token to every row."""
        if self.length:
            self._drop_finished()
            hidden = self.model.hidden(self.last_tokens[:, None], cache=self.cache)
            self.logits = self.model.logits(hidden[:, -1])
        chosen, logprobs = sample_next_tokens(self.logits, self.sampling, self.generator, seen=self.seen)
        self.tokens[self.completion_rows, self.length] = chosen
        self.logprobs[self.completion_rows, self.length] = logprobs
        self.lengths[self.completion_rows] += self.active
        self.length += 1
        self.last_tokens = chosen
        if self.seen is not None:
            self.seen.scatter_(1, chosen[:, None], True)
        if self.detokenizers:
            self._check_stop_strings()
        self.active = self.active & ~self._end(chosen)
        if self.max_lengths is not None:
            self.active &= self.max_lengths[self.completion_rows] > self.length
        self.active_count = int(self.active.sum())

    @torch.inference_mode()
    def result(self) -> Generation:
        """The completions so far."""
        mask = torch.arange(self.length, device=self.lengths.device) < self.lengths[:, None]
        tokens = self.tokens[:, : self.length].masked_fill(~mask, self.pad_id)
        ended = (self._end(tokens) & mask).any(dim=1)
        if self.detokenizers:
            ended |= torch.tensor([each.stopped for each in self.detokenizers], device=ended.device)
        return Generation(tokens, mask, self.logprobs[:, : self.length].masked_fill(~mask, 0), ended)

    def _end(self, tokens: Tensor) -> Tensor:
        return tokens == self.ends if len(self.ends) == 1 else torch.isin(tokens, self.ends)

    def _check_stop_strings(self) -> None:
        """End the rows whose text contains a stop string."""
        stopped = torch.zeros_like(self.active)
        rows = zip(
            self.active.tolist(), self.completion_rows.tolist(), self.last_tokens.tolist(), strict=True
        )
        for row, (active, place, token) in enumerate(rows):
            if active:
                self.detokenizers[place].add(token)
                stopped[row] = self.detokenizers[place].stopped
        self.active = self.active & ~stopped

    def _drop_finished(self) -> None:
        """Drop finished rows from the batch, if enough are idle.

        Where prompts of different lengths reach the end of the context, it must be done at once: a finished
        row has no positions left.
        """
        idle = len(self.completion_rows) - self.active_count
        if idle and (self.max_lengths is not None or idle >= _MIN_IDLE_SHARE * len(self.completion_rows)):
            kept = self.active.nonzero()[:, 0]
            self.completion_rows, self.last_tokens, self.active = (
                self.completion_rows[kept],
                self.last_tokens[kept],
                self.active[kept],
            )
            self._select_rows(kept)

    def _select_rows(self, rows: Tensor) -> None:
        """Reorder the rows of the batch; ``rows`` may repeat or drop some."""
        self.cache.select(rows)
        self.logits = self.logits[rows]
        self.seen = None if self.seen is None else self.seen[rows]


@contextmanager
def eval_mode(model: GPT) -> Iterator[None]:
    """A context in which dropout is off; restores the model's mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def max_new_tokens_per_prompt(
    model: GPT, prompts: Sequence[Sequence[int]], sampling: SamplingConfig
) -> list[int]:
    """How many new tokens each prompt may get; a completion also ends where the context is full.

    Raises ``InputError`` for a prompt that is empty or fills the context, and if there is no prompt.
    """
    if not prompts:
        raise InputError("prompts: there is none to complete")
    context = model.config.context
    for number, prompt in enumerate(prompts, start=1):
        name = f"prompt {number}" if len(prompts) > 1 else "prompt"
        if not prompt:
            raise InputError(f"{name}: an empty prompt must still hold the end-of-text token")
        if len(prompt) >= context:
            raise InputError(
                f"{name}: {len(prompt)} tokens leave no room in a context of {context}; shorten it to at most"
                f" {context - 1} tokens, of which the first only says that a text begins"
            )
    return [min(sampling.max_new_tokens, context - len(prompt)) for prompt in prompts]


def prefill(
    model: GPT, prompts: Sequence[Sequence[int]], *, pad_id: int, max_length: int
) -> tuple[KVCache, Tensor]:
    """Read all prompts at once; give the cache, with ``max_length`` for more, and the first new token's
    logits.

    The logits are [B, V].
    """
    tokens, padding = pad_left(prompts, pad_id=pad_id, device=model.device)
    cache = KVCache(model, rows=len(prompts), capacity=tokens.shape[1] + max_length)
    hidden = model.hidden(tokens, cache=cache, padding=padding if bool(padding.any()) else None)
    return cache, model.logits(hidden[:, -1])


def pad_left(rows: Sequence[Sequence[int]], *, pad_id: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Stack rows of different lengths [B, longest] with padding at the left; also the padding of each row
    [B]."""
    longest = max(map(len, rows))
    padding = torch.tensor([longest - len(row) for row in rows], device=device)
    filled = [[pad_id] * (longest - len(row)) + list(row) for row in rows]
    return torch.tensor(filled, device=device), padding


def has_repetition_penalty(sampling: SamplingConfig) -> bool:
    """Whether the tokens already in a text must be tracked."""
    return sampling.repetition_penalty != 1


def prompt_token_mask(prompts: Sequence[Sequence[int]], *, eos_ids: Sequence[int], like: Tensor) -> Tensor:
    """Which ids each prompt contains: bool, of the shape of the logits ``like`` [B, V]; padding does not
    count.

    Neither does an end token that opens a prompt: it only marks the beginning of a text, and a penalty on it
    would keep the text from ending.
    """
    seen = torch.zeros_like(like, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        seen[row, list(prompt[prompt[0] in eos_ids :])] = True
    return seen
