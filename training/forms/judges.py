"""Who may judge: the built-in taste, reward models, people."""

from django import forms

from training.models import ModelVersion
from training.models.versions import ModelVersionQuerySet

STORY_TASTE = "story-taste"
"""The built-in taste: kind, ends well, no repetition."""


PEOPLE = "people"
"""The judge of an evaluation who is asked by blind tasks."""


def judges_in(names: str) -> list[str]:
    """The judges of an evaluation, each once, from their names joined by commas."""
    return list(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def checked_taste(name: str, rewards: ModelVersionQuerySet | None = None) -> str:
    """The name of a taste that exists; raises ValidationError with those that do.

    `rewards` are the reward models that may be named: all, if it is left out.
    """
    rewards = ModelVersion.objects.rewards() if rewards is None else rewards
    if name and name != STORY_TASTE and not rewards.filter(name=name).exists():
        names = [STORY_TASTE, *rewards.values_list("name", flat=True)[:7]]
        raise forms.ValidationError(f"there is no reward model “{name}”; there are: {', '.join(names)}.")
    return name
