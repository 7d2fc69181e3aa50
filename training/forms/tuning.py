"""What can be asked of the ways to tune a policy."""

from typing import Any

from django import forms

from training.config_form import NamedChoiceField
from training.forms.base import (
    NewVersionForm,
    OpensTasksMixin,
    checked_file,
    next_free,
    require_answers,
    require_comparisons,
    require_prompts,
    required_policy,
    required_project,
)
from training.forms.judges import STORY_TASTE, checked_taste
from training.gpt.config import HardwareConfig
from training.models import ModelVersion, Run
from training.rlhf.config import (
    ControlConfig,
    DpoConfig,
    FinetuneConfig,
    SupervisedConfig,
    SupervisedControlConfig,
)


class TuningForm(OpensTasksMixin, NewVersionForm):
    """A run that tunes a policy, watched on the project's held-out prompts."""

    project = required_project()
    policy = required_policy("The policy to tune; it is also the reference that KL is measured from.")
    gold = forms.CharField(
        required=False,
        help_text="Measure the held-out completions by this taste as well, and choose the best version by "
        f"it: a reward model's name, or {STORY_TASTE}.",
    )

    def clean_gold(self) -> str:
        return checked_taste(self.cleaned_data["gold"], self.rewards())

    def default_name(self) -> str:
        return next_free(self.cleaned_data["policy"].name)

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
    configs = (FinetuneConfig, ControlConfig, HardwareConfig)

    reward = NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        missing="name a reward model; `manage.py train_reward` makes one from people's answers.",
        help_text="The reward model to tune against.",
    )


def measuring_reward() -> NamedChoiceField:
    return NamedChoiceField(
        ModelVersion.objects.rewards(),
        by="name",
        required=False,
        help_text="Measure the held-out completions by this reward model, and choose the best version by it.",
    )


class AnswersMixin(forms.Form):
    """A run that learns from a project's answers: as they are now, or as they were frozen before."""

    snapshot = forms.CharField(
        required=False,
        help_text="Learn from this snapshot of the project's answers (its hash or the beginning of it, as "
        "another run shows it) instead of the answers there are now.",
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
                problem = "more than one begins so" if hashes else "there is no such snapshot"
                there = f"there are: {known}" if known else f"“{project.slug}” has none yet"
                self.add_error("snapshot", f"“{given}”: {problem}; {there}.")
        return cleaned


class DpoForm(AnswersMixin, TuningForm):
    kind = Run.Kind.DPO
    summary = "Tune a policy on people's comparisons directly, without a reward model."
    configs = (DpoConfig, ControlConfig, HardwareConfig)

    preferences = forms.CharField(
        required=False,
        help_text='Learn from a JSON Lines file instead: {"prompt", "chosen", "rejected"} on each line.',
    )
    reward = measuring_reward()

    def clean_preferences(self) -> str:
        return checked_file(self.cleaned_data["preferences"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("preferences") and cleaned.get("snapshot"):
            self.add_error("snapshot", "give either a file of preferences or a snapshot, and not both.")
        project = cleaned.get("project")
        if project and not cleaned.get("preferences"):
            require_comparisons(self, project)
            if not cleaned.get("snapshot"):
                require_answers(self, project)
        return cleaned


class SupervisedForm(AnswersMixin, TuningForm):
    kind = Run.Kind.SUPERVISED
    summary = "Tune a policy to write as demonstrations do: people's, a file's, or its own best."
    configs = (SupervisedConfig, SupervisedControlConfig, HardwareConfig)

    demonstrations = forms.CharField(
        required=False,
        help_text='Learn from a JSON Lines file, {"prompt", "completion"} on each line, instead of what '
        "people wrote, where the project asks them to rewrite, or of the samples that they liked best.",
    )
    best_of = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=1000,
        initial=0,
        help_text="Learn instead from the best of so many completions that the policy writes to each "
        "training prompt, as the reward model judges them.",
    )
    prompts = forms.IntegerField(
        required=False, min_value=1, initial=1000, help_text="With --best-of: training prompts used, at most."
    )
    reward = measuring_reward()

    def clean_demonstrations(self) -> str:
        return checked_file(self.cleaned_data["demonstrations"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        sources = [name for name in ("demonstrations", "best_of", "snapshot") if cleaned.get(name)]
        if len(sources) > 1:
            self.add_error(sources[1], f"leave it out, or {sources[0]}: one source of demonstrations only.")
        if cleaned.get("best_of") == 1:
            self.add_error("best_of", "the best of one is that one: give 2 or more.")
        if cleaned.get("best_of") and not cleaned.get("reward") and not self.errors:
            self.add_error("reward", "name the reward model that chooses among the --best-of completions.")
        if cleaned.get("project") and not sources:
            require_answers(self, cleaned["project"])
        return cleaned
