"""What can be asked of the training of a reward model."""

from typing import Any

from django import forms

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.forms.base import (
    NewVersionForm,
    checked_file,
    require_answers,
    require_comparisons,
    required_policy,
)
from training.forms.judges import STORY_TASTE, checked_taste
from training.models import Run
from training.rlhf.config import AUTO, RewardConfig


class TrainRewardForm(NewVersionForm):
    kind = Run.Kind.TRAIN_REWARD
    summary = "Train a reward model from a project's annotations, or from a file of preferences."
    configs = (RewardConfig,)

    policy = required_policy("The policy whose weights the reward model begins from.")
    project = NamedChoiceField(
        Project.objects.all(), by="slug", required=False, help_text="Learn from this project's annotations."
    )
    preferences = forms.CharField(
        required=False,
        help_text='Learn from a JSON Lines file instead: {"prompt", "chosen", "rejected"}, or '
        '{"prompt", "completion", "score"}, on each line.',
    )
    gold = forms.CharField(
        required=False,
        help_text="Measure held-out accuracy against this taste as well: a reward model's name, "
        f"or {STORY_TASTE}.",
    )

    def clean_preferences(self) -> str:
        return checked_file(self.cleaned_data["preferences"])

    def clean_gold(self) -> str:
        return checked_taste(self.cleaned_data["gold"], self.rewards())

    def default_name(self) -> str:
        project = self.cleaned_data.get("project")
        return f"{project.slug}-reward" if project else "reward"

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.errors:
            return cleaned
        project = cleaned["project"]
        if bool(project) == bool(cleaned["preferences"]):
            self.add_error(
                "preferences",
                "give either a project (its annotations) or a file of preferences, and not both.",
            )
        elif project:
            require_comparisons(self, project)
            require_answers(self, project)
            if cleaned["loss"] == AUTO and project.samples_per_task > 1:
                cleaned["loss"] = project.kind.loss
        return cleaned
