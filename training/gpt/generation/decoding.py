"""The decode loop: one token more for every row that is still being written.

N completions, R rows of the batch (completions that have not left it), V ids in the vocabulary.
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

# Taking ended rows out copies the cache: worth it once this share of the rows is idle.
_MIN_IDLE_SHARE = 0.25


@dataclass(frozen=True)
class Generation:
    """N completions of at most L tokens; the samples of one prompt stand together, in the prompts' order."""

    tokens: Tensor  # [N, L] ids; pad_id after the end
    mask: Tensor  # [N, L] bool: True up to and including the end token, or the last token of a stop text
    logprobs: Tensor  # [N, L] float32, of what was sampled, at the sampling temperature; 0 outside the mask
    ended: Tensor  # [N] bool: came to the end token or to a stop text within the budget

    def completions(self) -> list[list[int]]:
        """The ids of each completion, without padding."""
        return [row[kept].tolist() for row, kept in zip(self.tokens, self.mask, strict=True)]


class Decoder:
    """Completions in the making.

    The prompts are read at once, each a single time however many samples it gets. Every ``step`` adds a token
    to each row; rows that have ended leave the batch once enough of them have.
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
        """Read the prompts. With ``detokenizers``, one per completion, stop texts end a row as well."""
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
        self.last_tokens = self.completion_rows  # [R] the token written last
        self.active_count = rows  # how many are going
        self.length = 0  # steps taken

    @property
    def done(self) -> bool:
        """Whether every completion has ended or used its budget up."""
        return self.active_count == 0 or self.length == self.budget

    @torch.inference_mode()
    def step(self) -> None:
        """Write one token in every row."""
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
        """What has been written so far."""
        mask = torch.arange(self.length, device=self.lengths.device) < self.lengths[:, None]
        tokens = self.tokens[:, : self.length].masked_fill(~mask, self.pad_id)
        ended = (self._end(tokens) & mask).any(dim=1)
        if self.detokenizers:
            ended |= torch.tensor([each.stopped for each in self.detokenizers], device=ended.device)
        return Generation(tokens, mask, self.logprobs[:, : self.length].masked_fill(~mask, 0), ended)

    def _end(self, tokens: Tensor) -> Tensor:
        return tokens == self.ends if len(self.ends) == 1 else torch.isin(tokens, self.ends)

    def _check_stop_strings(self) -> None:
        """End the rows whose text has come to a stop text."""
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
        """Take rows that have ended out of the batch, if it pays.

        Where prompts fill the context to different degrees, it must be done at once: an ended row has no
        positions left.
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
        """Reorder what the next token is drawn from: ``rows`` may repeat or drop some."""
        self.cache.select(rows)
        self.logits = self.logits[rows]
        self.seen = None if self.seen is None else self.seen[rows]


@contextmanager
def eval_mode(model: GPT) -> Iterator[None]:
    """Dropout is off inside, whatever mode the model is in."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def max_new_tokens_per_prompt(
    model: GPT, prompts: Sequence[Sequence[int]], sampling: SamplingConfig
) -> list[int]:
    """How many new tokens each prompt may get: its completion also ends where the context is full.

    Raises ``InputError`` for a prompt that is empty or leaves no room, and where there is none at all.
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
    """Stack ragged rows [B, longest] with pads at the left; give also how many each row got [B]."""
    longest = max(map(len, rows))
    padding = torch.tensor([longest - len(row) for row in rows], device=device)
    filled = [[pad_id] * (longest - len(row)) + list(row) for row in rows]
    return torch.tensor(filled, device=device), padding


def has_repetition_penalty(sampling: SamplingConfig) -> bool:
    """Whether the tokens that a text holds must be kept in mind."""
    return sampling.repetition_penalty != 1


def prompt_token_mask(prompts: Sequence[Sequence[int]], *, eos_ids: Sequence[int], like: Tensor) -> Tensor:
    """Which ids each prompt holds, as bool of the shape of the logits ``like`` [B, V]; pads are in none.

    An end token that opens a prompt says that a text begins. It is not counted: no text has ended yet, and a
    penalty on it would keep this one from ending.
    """
    seen = torch.zeros_like(like, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        seen[row, list(prompt[prompt[0] in eos_ids :])] = True
    return seen
