"""What can be asked of a project's rounds: when they begin, and what their two runs are given."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.forms.boundfield import BoundField

from training.config_form import ConfigForm
from training.forms.base import OpensTasksMixin
from training.forms.labels import words_for
from training.gpt.config import HardwareConfig
from training.models import Automation, Run
from training.rlhf.config import ControlConfig, FinetuneConfig, RewardConfig


class RoundOptions(ConfigForm):
    """The options of one of a round's runs: those in `shown` can be chosen, the others are the defaults."""

    kind: ClassVar[Run.Kind]
    shown: ClassVar[tuple[str, ...]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in self.shown:
            words = words_for(self.kind, name)
            self.fields[name].label, self.fields[name].help_text = words.label, words.effect
            if words.choices and isinstance(field := self.fields[name], forms.ChoiceField):
                field.choices = [(value, choice.label) for value, choice in words.choices.items()]

    def asked(self) -> Iterator[BoundField]:
        """The fields of the page."""
        return (self[name] for name in self.shown)

    def chosen(self) -> dict[str, Any]:
        """The options that are not the defaults."""
        return {
            name: self.cleaned_data[name]
            for name in self.shown
            if self.cleaned_data[name] != self.fields[name].initial
        }


class RewardOptions(RoundOptions):
    kind = Run.Kind.TRAIN_REWARD
    configs = (RewardConfig,)
    shown = ("members", "reliability", "epochs", "minutes")


class TuningOptions(OpensTasksMixin, RoundOptions):
    kind = Run.Kind.FINETUNE
    configs = (FinetuneConfig, ControlConfig, HardwareConfig)
    shown = ("steps", "minutes", "kl_target", "kl_budget", "tasks")


class AutomationForm(forms.ModelForm):
    """When rounds begin by themselves, with the options of their runs: one page, saved together."""

    class Meta:
        model = Automation
        fields = ("is_on", "every")
        labels = {
            "is_on": "Rounds begin by themselves",
            "every": "As soon as so many new comparisons are in",
        }
        help_texts = {"every": "Counted since the last reward model; a few hundred are worth a round."}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        data = self.data if self.is_bound else None
        self.reward = RewardOptions(data, prefix="reward", initial=self.instance.train_reward)
        self.tuning = TuningOptions(data, prefix="tuning", initial=self.instance.finetune)

    def is_valid(self) -> bool:
        return all([super().is_valid(), self.reward.is_valid(), self.tuning.is_valid()])

    def save(self, commit: bool = True) -> Any:
        self.instance.train_reward = self.reward.chosen()
        self.instance.finetune = self.tuning.chosen()
        return super().save(commit)
