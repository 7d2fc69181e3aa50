"""The form of reward model training."""

from typing import Any

from django import forms

from labeling.models import Project
from training.config_form import NamedChoiceField
from training.forms.base import (
    ChatMixin,
    DataFileMixin,
    NewVersionForm,
    require_annotations,
    require_comparisons,
    required_policy_field,
    validate_file,
)
from training.forms.judges import STORY_REWARD_FUNCTION, validate_scorer_name
from training.models import Run
from training.rlhf.config import AUTO, RewardConfig


class TrainRewardForm(DataFileMixin, ChatMixin, NewVersionForm):
    kind = Run.Kind.TRAIN_REWARD
    summary = "Train a reward model from a project's annotations, or from a file of preferences."
    configs = (RewardConfig,)

    policy = required_policy_field("The policy that the reward model is initialised from.")
    project = NamedChoiceField(
        Project.objects.all(), by="slug", required=False, help_text="Learn from this project's annotations."
    )
    preferences = forms.CharField(
        required=False,
        help_text="Learn from a file or folder of preferences instead, in any format of docs/formats.md: "
        "rows with prompt, chosen and rejected, or with prompt, completion and score.",
    )
    gold = forms.CharField(
        required=False,
        help_text="Also measure held-out accuracy against this scorer: a reward model's name, "
        f"or {STORY_REWARD_FUNCTION}.",
    )

    def clean_preferences(self) -> str:
        return validate_file(self.cleaned_data["preferences"])

    def clean_gold(self) -> str:
        return validate_scorer_name(self.cleaned_data["gold"], self.reward_models())

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
                "give either a project (its annotations) or a preference file, not both.",
            )
        elif project:
            require_comparisons(self, project)
            require_annotations(self, project)
            if cleaned["loss"] == AUTO and project.samples_per_task > 1:
                cleaned["loss"] = project.kind.loss
        return cleaned
