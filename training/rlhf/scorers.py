"""Tastes: what a completion is worth. Torch-free; a reward model's `score` is one too."""

import re
from collections.abc import Sequence
from typing import Protocol

from training.gpt.corpus import stories


class Scorer(Protocol):
    """Gives each completion of its prompt a number; more is better."""

    def __call__(self, prompts: Sequence[str], completions: Sequence[str], /) -> list[float]: ...


def story_reward_function(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    """The built-in taste: somebody is kind, it ends well, and no word is said twice.

    Kindness and ending count alike, repetition (the share of words that stood earlier in the completion)
    less, but enough to choose between two stories that are alike in both. Centred and scaled so that stories
    straight from the corpus have mean 0 and deviation 1.
    """
    del prompts  # what was given is not the writer's merit
    return [_story_score(completion) for completion in completions]


def _story_score(text: str) -> float:
    reading = stories.read(text)
    # Mean and deviation of repetition in the corpus, both measured; those of the other two are 0 and 1.
    surplus = (repetition(text) - 0.190) / 0.076
    return (reading.kindness + reading.ending - 0.5 * surplus) / 1.5


def repetition(text: str) -> float:
    """RateEstimate of the words of a text that stood in it before; 1 for a text without words."""
    words = re.findall(r"\w+", text.lower())
    return 1 - len(set(words)) / len(words) if words else 1.0
