"""Reward functions: the value of a completion. Torch-free; a reward model's `score` is one too."""

import re
from collections.abc import Sequence
from typing import Protocol

from training.gpt.corpus import stories


class Scorer(Protocol):
    """A reward function: a number for each completion of its prompt; higher is better."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], /) -> list[float]: ...


def story_reward_function(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    """The built-in reward function: stories are kind, end well and do not repeat words.

    Kindness and ending count alike, repetition (the fraction of words that occurred earlier in the
    completion) half as much. Scaled to mean 0 and deviation 1 on stories of the corpus.
    """
    del prompts  # only the completion is rewarded
    return [_story_reward(completion) for completion in completions]


def _story_reward(text: str) -> float:
    traits = stories.story_traits(text)
    # Mean and deviation of repetition in the corpus, both measured; those of the other two are 0 and 1.
    excess = (repetition_rate(text) - 0.190) / 0.076
    return (traits.kindness + traits.ending - 0.5 * excess) / 1.5


def repetition_rate(text: str) -> float:
    """The fraction of a text's words that occurred earlier in it; 1 for a text without words."""
    words = re.findall(r"\w+", text.lower())
    return 1 - len(set(words)) / len(words) if words else 1.0
