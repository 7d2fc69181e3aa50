"""Forms of fine-tuning, DPO and supervised fine-tuning."""

from typing import Any

from django import forms

from training.config_form import NamedChoiceField
from training.forms.base import (
    ChatMixin,
    DataFileMixin,
    NewVersionForm,
    OpensTasksMixin,
    next_free_name,
    require_annotations,
    require_comparisons,
    require_prompts,
    required_policy_field,
    required_project_field,
    validate_file,
)
from training.forms.judges import STORY_REWARD_FUNCTION, validate_scorer_name
from training.gpt.config import HardwareConfig
from training.models import ModelVersion, Run
from training.rlhf.config import (
    DpoConfig,
    EarlyStoppingConfig,
    FinetuneConfig,
    SupervisedConfig,
    SupervisedEarlyStoppingConfig,
)


class TuningForm(ChatMixin, OpensTasksMixin, NewVersionForm):
    """A run that tunes a policy and evaluates it on the project's held-out prompts."""

    project = required_project_field()
    policy = required_policy_field("The policy to tune, which is also the reference policy of KL.")
    gold = forms.CharField(
        required=False,
        help_text="Also score held-out completions with this scorer, and select the best checkpoint by it: a "
        f"reward model's name, or {STORY_REWARD_FUNCTION}.",
    )

    def clean_gold(self) -> str:
        return validate_scorer_name(self.cleaned_data["gold"], self.reward_models())

    def default_name(self) -> str:
        return next_free_name(self.cleaned_data["policy"].name)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        project = cleaned.get("project")
        if project is not None:
            require_prompts(self, project)
            if not project.prompts.filter(split="heldout").exists():
                self.add_error(
                    "project",
                    f"“{project.slug}” has no held-out prompts to evaluate on; add some with "
                    f"`manage.py add_prompts {project.slug} --file FILE --heldout 0.2`.",
                )
        return cleaned


class FinetuneForm(TuningForm):
    kind = Run.Kind.FINETUNE
    summary = "Tune a policy against a reward model by policy gradient."
    configs = (FinetuneConfig, EarlyStoppingConfig, HardwareConfig)

    reward = NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        missing="name a reward model; `manage.py train_reward` makes one from annotations.",
        help_text="The reward model to tune against.",
    )


def evaluation_reward_field() -> NamedChoiceField:
    return NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        required=False,
        help_text="Score held-out completions with this reward model, and select the best checkpoint by it.",
    )


class SnapshotMixin(forms.Form):
    """A run that learns from a project's current annotations, or from a snapshot of earlier ones."""

    snapshot = forms.CharField(
        required=False,
        help_text="Learn from this snapshot instead of the current annotations: its hash, or the beginning "
        "of it, as shown on the page of another run.",
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        project, given = cleaned.get("project"), cleaned.get("snapshot")
        if project is not None and given:
            hashes = list(project.snapshots.filter(hash__startswith=given).values_list("hash", flat=True)[:2])
            if len(hashes) == 1:
                cleaned["snapshot"] = hashes[0]
            else:
                known = ", ".join(each[:12] for each in project.snapshots.values_list("hash", flat=True)[:5])
                problem = "more than one starts with it" if hashes else "there is no such snapshot"
                there = f"there are: {known}" if known else f"“{project.slug}” has none yet"
                self.add_error("snapshot", f"“{given}”: {problem}; {there}.")
        return cleaned


class DpoForm(DataFileMixin, SnapshotMixin, TuningForm):
    kind = Run.Kind.DPO
    summary = "Tune a policy on comparisons directly, without a reward model."
    configs = (DpoConfig, EarlyStoppingConfig, HardwareConfig)

    preferences = forms.CharField(
        required=False,
        help_text="Learn from a file or folder of preferences instead, in any format of docs/formats.md: "
        "rows with prompt, chosen and rejected.",
    )
    reward = evaluation_reward_field()

    def clean_preferences(self) -> str:
        return validate_file(self.cleaned_data["preferences"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("preferences") and cleaned.get("snapshot"):
            self.add_error("snapshot", "give either a preference file or a snapshot, not both.")
        project = cleaned.get("project")
        if project and not cleaned.get("preferences"):
            require_comparisons(self, project)
            if not cleaned.get("snapshot"):
                require_annotations(self, project)
        return cleaned


class SupervisedForm(DataFileMixin, SnapshotMixin, TuningForm):
    kind = Run.Kind.SUPERVISED
    summary = "Tune a policy on demonstrations: people's, a file's, or its own best completions."
    configs = (SupervisedConfig, SupervisedEarlyStoppingConfig, HardwareConfig)

    demonstrations = forms.CharField(
        required=False,
        help_text="Learn from a file or folder, in any format of docs/formats.md, instead of what people "
        "wrote in the project, or of the samples that they ranked best: prompts with completions, and the "
        "best of what was judged.",
    )
    best_of = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=1000,
        initial=0,
        help_text="Learn instead from the best of this many completions of the policy for each training "
        "prompt, by the score of the reward model.",
    )
    prompts = forms.IntegerField(
        required=False,
        min_value=1,
        initial=1000,
        help_text="With --best-of: largest number of training prompts used.",
    )
    reward = evaluation_reward_field()

    def clean_demonstrations(self) -> str:
        return validate_file(self.cleaned_data["demonstrations"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        sources = [name for name in ("demonstrations", "best_of", "snapshot") if cleaned.get(name)]
        if len(sources) > 1:
            self.add_error(
                sources[1], f"leave out this or {sources[0]}: there is one source of demonstrations only."
            )
        if cleaned.get("best_of") == 1:
            self.add_error("best_of", "the best of one is that one: give 2 or more.")
        if cleaned.get("best_of") and not cleaned.get("reward") and not self.errors:
            self.add_error("reward", "name the reward model that picks among the --best-of completions.")
        if cleaned.get("project") and not sources:
            require_annotations(self, cleaned["project"])
        return cleaned
