"""Samples of a policy with gold scores, generated once per folder; and gold comparisons of them."""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self

import torch

from training.gpt.config import SamplingConfig
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.tuning.rollouts import sample
from training.studies.tasks import StudyTask, cached_json

Pair = tuple[str, str, str]
"""A prompt and two completions of it."""

_BATCH_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Samples:
    """P prompts with K completions of the untuned policy each, and their gold scores."""

    prompts: list[str]  # P
    completions: list[list[str]]  # P x K
    gold: list[list[float]]  # P x K

    @classmethod
    def generate(cls, task: StudyTask, prompts: Sequence[str], *, per_prompt: int, seed: int) -> Self:
        """Generate with the task's policy, or load from its workspace."""
        key = [task.name, asdict(task.config), list(prompts), per_prompt, seed]
        completions = cached_json(
            task.workspace, "samples", key, lambda: _generate(task, prompts, per_prompt=per_prompt, seed=seed)
        )
        gold = [
            task.gold([prompt] * per_prompt, texts)
            for prompt, texts in zip(prompts, completions, strict=True)
        ]
        return cls(prompts=list(prompts), completions=completions, gold=gold)

    def flatten(self) -> tuple[list[str], list[str]]:
        """P x K prompts and P x K completions, for a scorer."""
        prompts = [
            prompt for prompt, texts in zip(self.prompts, self.completions, strict=True) for _ in texts
        ]
        return prompts, [text for texts in self.completions for text in texts]

    def draw_pairs(self, count: int, *, seed: int) -> list[Pair]:
        """Up to `count` pairs of completions of one prompt, no completion in two of them.

        With the same seed, the pairs of a smaller count are the first of a larger one.
        """
        places = [
            (row, 2 * place) for row, texts in enumerate(self.completions) for place in range(len(texts) // 2)
        ]
        drawn = random.Random(seed).sample(places, len(places))[:count]
        return [
            (self.prompts[row], self.completions[row][place], self.completions[row][place + 1])
            for row, place in drawn
        ]


def gold_comparisons(pairs: Sequence[Pair], task: StudyTask, *, noise: float, seed: int) -> list[Comparison]:
    """The pairs as the gold scorer judges them, a share `noise` of the answers flipped.

    Which answers are flipped depends on the seed and the place of the pair alone.
    """
    prompts = [prompt for prompt, _, _ in pairs]
    first = task.gold(prompts, [one for _, one, _ in pairs])
    second = task.gold(prompts, [other for _, _, other in pairs])
    rng = random.Random(seed)
    comparisons = []
    for (prompt, one, other), a, b in zip(pairs, first, second, strict=True):
        better, worse = (one, other) if a >= b else (other, one)
        if rng.random() < noise:
            better, worse = worse, better
        comparisons.append(Comparison(prompt=prompt, chosen=better, rejected=worse, tie=a == b))
    return comparisons


def _generate(task: StudyTask, prompts: Sequence[str], *, per_prompt: int, seed: int) -> list[list[str]]:
    sampling = SamplingConfig(max_new_tokens=task.max_new_tokens)
    generator = torch.Generator().manual_seed(seed)
    completions: list[list[str]] = []
    stride = max(1, _BATCH_ROWS // per_prompt)
    for start in range(0, len(prompts), stride):
        batch = prompts[start : start + stride]
        rollouts = sample(
            task.policy, task.tokenizer, batch, sampling, samples=per_prompt, generator=generator
        )
        texts = rollouts.texts[1]
        completions += [texts[row : row + per_prompt] for row in range(0, len(texts), per_prompt)]
    return completions
