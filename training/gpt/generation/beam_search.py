"""Beam search: the likeliest completions, not random ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig
from training.gpt.generation.decoding import penalises, prefill, rooms_for, seen_in
from training.gpt.generation.detokenizer import Transcript
from training.gpt.generation.sampling import penalise
from training.gpt.model import GPT


@dataclass(frozen=True)
class Hypothesis:
    """A completion: its ids, with the end token if it came to one, and the log-probability of each."""

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()  # as the model gives them
    total: float = 0.0  # what hypotheses are compared by: their sum, after the repetition penalty
    ended: bool = False
    transcript: Transcript | None = field(default=None, compare=False)  # where there are stop texts

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
    transcripts: Sequence[Transcript] = (),
) -> list[list[Hypothesis]]:
    """Complete each prompt; give for each up to ``sampling.beams`` hypotheses, best first.

    Each step extends every living beam by every token, and keeps the ``beams`` best that have not ended.
    Those that end leave the race with their score, if they are among the ``beams`` best of all: an end that
    is far less likely than to go on should not win by being short. When the budget ends, living beams count
    as they stand. One beam without a length penalty is greedy.
    A repetition penalty bends the logits, and what is compared is their renormalised log-probability. With
    ``transcripts``, one per prompt, a stop text ends a hypothesis as the end token does.
    """
    rooms = rooms_for(model, prompts, sampling)
    starts = [Hypothesis(transcript=each) for each in transcripts] or [Hypothesis()] * len(prompts)
    races = [
        _Race(sampling, eos_ids=eos_ids, room=room, living=[start])
        for room, start in zip(rooms, starts, strict=True)
    ]
    cache, logits = prefill(model, prompts, pad_id=pad_id, room=max(rooms))
    seen = seen_in(prompts, eos_ids=eos_ids, like=logits) if penalises(sampling) else None
    running = races
    while not should_stop():
        logprobs = scores = logits.float().log_softmax(dim=-1)
        if seen is not None:
            scores = penalise(logits.float(), seen, sampling.repetition_penalty).log_softmax(dim=-1)
        parents: list[int] = []
        first = 0
        for race in running:
            end = first + len(race.living)
            parents += [first + parent for parent in race.advance(logprobs[first:end], scores[first:end])]
            first = end
        running = [race for race in running if not race.over]
        if not running:
            break
        rows = torch.tensor(parents, device=model.device)
        newest = torch.tensor(
            [[beam.tokens[-1]] for race in running for beam in race.living], device=model.device
        )
        cache.select(rows)
        if seen is not None:
            seen = seen[rows].scatter_(1, newest, True)
        logits = model.logits(model.hidden(newest, cache=cache)[:, -1])
    return [race.best() for race in races]


@dataclass
class _Race:
    """The search for one prompt."""

    sampling: SamplingConfig
    eos_ids: Sequence[int]
    room: int
    living: list[Hypothesis]
    finished: list[Hypothesis] = field(default_factory=list)
    over: bool = False

    def advance(self, logprobs: Tensor, scores: Tensor) -> list[int]:
        """Extend the living beams by one token; give the row that each new one came from, unless over.

        ``logprobs`` are the model's, ``scores`` what the totals add up; [living, V] both.
        """
        beams, following, parents = self.sampling.beams, list[Hypothesis](), list[int]()
        totals = torch.tensor([beam.total for beam in self.living], device=scores.device)
        for rank, (parent, token) in enumerate(_best_first(totals[:, None] + scores, at_once=2 * beams)):
            if rank >= beams and len(following) == beams:
                break
            grown = self._grow(
                self.living[parent], token, float(logprobs[parent, token]), float(scores[parent, token])
            )
            if grown.ended:
                if rank < beams:
                    self.finished.append(grown)
            elif len(following) < beams:
                following.append(grown)
                parents.append(parent)
        self.living = following
        self.finished = self._best(self.finished)
        self.over = (
            not following
            or len(following[0].tokens) == self.room
            or (len(self.finished) == beams and not self._may_improve())
        )
        return [] if self.over else parents

    def best(self) -> list[Hypothesis]:
        """The best of what has ended and of what is still going."""
        return self._best([*self.finished, *self.living])

    def _grow(self, beam: Hypothesis, token: int, logprob: float, score: float) -> Hypothesis:
        ended, transcript = token in self.eos_ids, beam.transcript
        if transcript is not None:
            transcript = transcript.fork()
            transcript.add(token)
            ended = ended or transcript.stopped
        return Hypothesis(
            (*beam.tokens, token), (*beam.logprobs, logprob), beam.total + score, ended, transcript
        )

    def _best(self, hypotheses: list[Hypothesis]) -> list[Hypothesis]:
        penalty = self.sampling.length_penalty
        return sorted(hypotheses, key=lambda each: each.score(penalty), reverse=True)[: self.sampling.beams]

    def _may_improve(self) -> bool:
        """Whether a living beam could still beat the worst finished one: tokens add length, no total."""
        penalty = self.sampling.length_penalty
        bound: float = max(beam.total for beam in self.living) / self.room**penalty
        return bound > self.finished[-1].score(penalty)


def _best_first(scores: Tensor, *, at_once: int) -> Iterator[tuple[int, int]]:
    """Row and column of every entry of ``scores`` [R, V], the highest first; sorts no more than is asked."""
    flat, given = scores.flatten(), 0
    while given < len(flat):
        places = flat.topk(min(at_once, len(flat))).indices.tolist()
        for place in places[given:]:
            row, column = divmod(place, scores.shape[1])
            yield row, column
        given, at_once = len(places), 4 * at_once
