"""Beam search: the most likely completions instead of random ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig
from training.gpt.generation.decoding import (
    has_repetition_penalty,
    max_new_tokens_per_prompt,
    prefill,
    prompt_token_mask,
)
from training.gpt.generation.detokenizer import Detokenizer
from training.gpt.generation.sampling import apply_repetition_penalty
from training.gpt.model import GPT


@dataclass(frozen=True)
class Hypothesis:
    """A completion: its ids, with the end token if it reached one, and the log-probability of each."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()  # the model's own
    total: float = 0.0  # their sum after the repetition penalty, by which hypotheses are compared
    ended: bool = False
    detokenizer: Detokenizer | None = field(default=None, compare=False)  # with stop strings only

    def score(self, length_penalty: float) -> float:
        """Total log-probability over length ** penalty (Wu et al. 2016 without the constant)."""
        return float(self.total / max(1, len(self.tokens)) ** length_penalty)


@torch.inference_mode()
def beam_search(
    model: GPT,
    prompts: Sequence[Sequence[int]],
    sampling: SamplingConfig,
    *,
    eos_ids: Sequence[int],
    pad_id: int,
    should_stop: Callable[[], bool],
    detokenizers: Sequence[Detokenizer] = (),
) -> list[list[Hypothesis]]:
    """Complete each prompt; give for each up to ``sampling.beams`` hypotheses, best first.

    Each step extends every active beam by every token and keeps the ``beams`` best that have not ended. Those
    that end are finished if they are among the ``beams`` best of all: an unlikely end should not win by being
    short. When the budget is spent, active beams count as they are. One beam without a length penalty is
    greedy decoding. With a repetition penalty, beams are compared by the renormalised log-probability of the
    penalised logits. With ``detokenizers``, one per prompt, a stop string ends a hypothesis as the end token
    does.
    """
    max_lengths = max_new_tokens_per_prompt(model, prompts, sampling)
    starts = [Hypothesis(detokenizer=each) for each in detokenizers] or [Hypothesis()] * len(prompts)
    searches = [
        _PromptSearch(sampling, eos_ids=eos_ids, max_length=max_length, active_beams=[start])
        for max_length, start in zip(max_lengths, starts, strict=True)
    ]
    cache, logits = prefill(model, prompts, pad_id=pad_id, max_length=max(max_lengths))
    seen = (
        prompt_token_mask(prompts, eos_ids=eos_ids, like=logits) if has_repetition_penalty(sampling) else None
    )
    running = searches
    while not should_stop():
        logprobs = scores = logits.float().log_softmax(dim=-1)
        if seen is not None:
            scores = apply_repetition_penalty(logits.float(), seen, sampling.repetition_penalty).log_softmax(
                dim=-1
            )
        parents: list[int] = []
        first = 0
        for search in running:
            end = first + len(search.active_beams)
            parents += [first + parent for parent in search.advance(logprobs[first:end], scores[first:end])]
            first = end
        running = [search for search in running if not search.done]
        if not running:
            break
        rows = torch.tensor(parents, device=model.device)
        last_tokens = torch.tensor(
            [[beam.tokens[-1]] for search in running for beam in search.active_beams], device=model.device
        )
        cache.select(rows)
        if seen is not None:
            seen = seen[rows].scatter_(1, last_tokens, True)
        logits = model.logits(model.hidden(last_tokens, cache=cache)[:, -1])
    return [search.best() for search in searches]


@dataclass
class _PromptSearch:
    """The search for one prompt."""

    sampling: SamplingConfig
    eos_ids: Sequence[int]
    max_length: int
    active_beams: list[Hypothesis]
    finished: list[Hypothesis] = field(default_factory=list)
    done: bool = False

    def advance(self, logprobs: Tensor, scores: Tensor) -> list[int]:
        """Extend the active beams by one token; give the row that each new one came from, unless done.

        ``logprobs`` are the model's, ``scores`` those that totals sum; [active beams, V] both.
        """
        beams, following, parents = self.sampling.beams, list[Hypothesis](), list[int]()
        totals = torch.tensor([beam.total for beam in self.active_beams], device=scores.device)
        for rank, (parent, token) in enumerate(_best_first(totals[:, None] + scores, at_once=2 * beams)):
            if rank >= beams and len(following) == beams:
                break
            grown = self._extend(
                self.active_beams[parent], token, float(logprobs[parent, token]), float(scores[parent, token])
            )
            if grown.ended:
                if rank < beams:
                    self.finished.append(grown)
            elif len(following) < beams:
                following.append(grown)
                parents.append(parent)
        self.active_beams = following
        self.finished = self._best(self.finished)
        self.done = (
            not following
            or len(following[0].tokens) == self.max_length
            or (len(self.finished) == beams and not self._can_improve())
        )
        return [] if self.done else parents

    def best(self) -> list[Hypothesis]:
        """The best of the finished and the active beams."""
        return self._best([*self.finished, *self.active_beams])

    def _extend(self, beam: Hypothesis, token: int, logprob: float, score: float) -> Hypothesis:
        ended, detokenizer = token in self.eos_ids, beam.detokenizer
        if detokenizer is not None:
            detokenizer = detokenizer.fork()
            detokenizer.add(token)
            ended = ended or detokenizer.stopped
        return Hypothesis(
            (*beam.tokens, token), (*beam.logprobs, logprob), beam.total + score, ended, detokenizer
        )

    def _best(self, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        penalty = self.sampling.length_penalty
        return sorted(hypotheses, key=lambda each: each.score(penalty), reverse=True)[: self.sampling.beams]

    def _can_improve(self) -> bool:
        """Whether an active beam could still beat the worst finished one: tokens add length but no total."""
        penalty = self.sampling.length_penalty
        bound: float = max(beam.total for beam in self.active_beams) / self.max_length**penalty
        return bound > self.finished[-1].score(penalty)


def _best_first(scores: Tensor, *, at_once: int) -> Iterator[tuple[int, int]]:
    """Row and column of every entry of ``scores`` [R, V], the highest first; sorts no more than needed."""
    flat, given = scores.flatten(), 0
    while given < len(flat):
        places = flat.topk(min(at_once, len(flat))).indices.tolist()
        for place in places[given:]:
            row, column = divmod(place, scores.shape[1])
            yield row, column
        given, at_once = len(places), 4 * at_once
