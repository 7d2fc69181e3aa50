"""Judges of an evaluation: the built-in reward function for stories, reward models, and people."""

from django import forms

from training.models import ModelVersion
from training.models.versions import ModelVersionQuerySet

STORY_REWARD_FUNCTION = "story-reward-function"
"""The built-in reward function: it prefers kind stories that end well, without repetition."""

STORY_REWARD_FUNCTION_LABEL = "Built-in reward function"

FORMER_STORY_REWARD_FUNCTION = "story-taste"
"""Its name in the parameters and metrics of older runs; accepted as an option for one release."""

PEOPLE = "people"
"""The judge of an evaluation that stands for annotators, who get blind tasks."""


def canonical_scorer_name(name: str) -> str:
    """The name of a scorer; the former name of the built-in reward function becomes the current one."""
    return STORY_REWARD_FUNCTION if name == FORMER_STORY_REWARD_FUNCTION else name


def parse_judges(names: str) -> list[str]:
    """The judges of an evaluation, each once, from their names joined by commas."""
    stripped = (canonical_scorer_name(name.strip()) for name in names.split(","))
    return list(dict.fromkeys(name for name in stripped if name))


def validate_scorer_name(name: str, reward_models: ModelVersionQuerySet | None = None) -> str:
    """The name of the built-in reward function or of a reward model; raises ValidationError for others.

    `reward_models` are those that may be chosen (default: all).
    """
    name = canonical_scorer_name(name)
    reward_models = ModelVersion.objects.rewards() if reward_models is None else reward_models
    if name and name != STORY_REWARD_FUNCTION and not reward_models.filter(name=name).exists():
        names = [STORY_REWARD_FUNCTION, *reward_models.values_list("name", flat=True)[:7]]
        raise forms.ValidationError(f"there is no reward model “{name}”; there are: {', '.join(names)}.")
    return name
