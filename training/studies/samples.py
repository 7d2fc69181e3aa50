"""Samples of a policy with their gold scores, written once for a folder; and comparisons of them."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import torch

from training.gpt.config import SamplingConfig
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.tuning.rollouts import sample
from training.studies.tasks import Subject, kept

_AT_ONCE = 1024  # rows


@dataclass(frozen=True, kw_only=True)
class Samples:
    """P prompts with K completions of the untuned policy each, and what these are truly worth."""

    prompts: list[str]  # P
    completions: list[list[str]]  # P x K
    gold: list[list[float]]  # P x K

    @classmethod
    def of(cls, subject: Subject, prompts: Sequence[str], *, each: int, seed: int) -> Self:
        """Written by the subject's policy, or found in its workspace."""
        key = [subject.name, asdict(subject.config), list(prompts), each, seed]
        completions = kept(
            subject.workspace, "samples", key, lambda: _write(subject, prompts, each=each, seed=seed)
        )
        gold = [
            subject.gold([prompt] * each, texts) for prompt, texts in zip(prompts, completions, strict=True)
        ]
        return cls(prompts=list(prompts), completions=completions, gold=gold)

    @property
    def texts(self) -> tuple[list[str], list[str]]:
        """All as P x K prompts and completions, for a scorer."""
        prompts = [
            prompt for prompt, texts in zip(self.prompts, self.completions, strict=True) for _ in texts
        ]
        return prompts, [text for texts in self.completions for text in texts]

    def pairs(self, count: int, *, seed: int) -> list[tuple[str, str, str]]:
        """`count` pairs of completions of one prompt, no completion in two of them: (prompt, one, other).

        Of the same seed, the pairs of a smaller count are the first of a larger one.
        """
        places = [
            (row, 2 * place) for row, texts in enumerate(self.completions) for place in range(len(texts) // 2)
        ]
        chosen = random.Random(seed).sample(places, len(places))[:count]
        return [
            (self.prompts[row], self.completions[row][place], self.completions[row][place + 1])
            for row, place in chosen
        ]


def judged(
    pairs: Sequence[tuple[str, str, str]], subject: Subject, *, noise: float, seed: int
) -> list[Comparison]:
    """The pairs as the gold scorer judges them, a share `noise` of the answers turned around.

    The order shown, and whose answers are turned, depend on the seed and the place of the pair alone.
    """
    prompts = [prompt for prompt, _, _ in pairs]
    first = subject.gold(prompts, [one for _, one, _ in pairs])
    second = subject.gold(prompts, [other for _, _, other in pairs])
    rng = random.Random(seed)
    comparisons = []
    for (prompt, one, other), a, b in zip(pairs, first, second, strict=True):
        better, worse = (one, other) if a >= b else (other, one)
        if rng.random() < noise:
            better, worse = worse, better
        comparisons.append(Comparison(prompt=prompt, chosen=better, rejected=worse, tie=a == b))
    return comparisons


def _write(subject: Subject, prompts: Sequence[str], *, each: int, seed: int) -> list[list[str]]:
    sampling = SamplingConfig(max_new_tokens=subject.max_new_tokens)
    generator = torch.Generator().manual_seed(seed)
    written: list[list[str]] = []
    stride = max(1, _AT_ONCE // each)
    for start in range(0, len(prompts), stride):
        some = prompts[start : start + stride]
        rollouts = sample(
            subject.policy, subject.tokenizer, some, sampling, samples=each, generator=generator
        )
        texts = rollouts.texts[1]
        written += [texts[row : row + each] for row in range(0, len(texts), each)]
    return written
