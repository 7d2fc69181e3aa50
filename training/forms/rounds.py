"""The settings of a project's rounds: when they start, and the options of their two runs."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django import forms
from django.forms.boundfield import BoundField

from training.config_form import ConfigForm
from training.forms.base import OpensTasksMixin
from training.forms.labels import option_label
from training.forms.start_page import PlainNumberInput
from training.gpt.config import HardwareConfig
from training.models import Automation, Run
from training.rlhf.config import EarlyStoppingConfig, FinetuneConfig, RewardConfig


class RoundOptions(ConfigForm):
    """The options of one run of a round. Those in `field_names` can be set; the others are defaults."""

    kind: ClassVar[Run.Kind]
    field_names: ClassVar[tuple[str, ...]]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in self.field_names:
            option = option_label(self.kind, name)
            self.fields[name].label, self.fields[name].help_text = option.label, option.effect
            field = self.fields[name]
            if isinstance(field, forms.FloatField):
                field.widget = PlainNumberInput(attrs={"step": "any"})
            if option.choices and isinstance(field, forms.ChoiceField):
                field.choices = [(value, choice.label) for value, choice in option.choices.items()]

    def visible(self) -> Iterator[BoundField]:
        """The fields of the page."""
        return (self[name] for name in self.field_names)

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {
            name: self.cleaned_data[name]
            for name in self.field_names
            if self.cleaned_data[name] != self.fields[name].initial
        }


class RewardModelOptions(RoundOptions):
    kind = Run.Kind.TRAIN_REWARD
    configs = (RewardConfig,)
    field_names = ("members", "reliability", "epochs", "minutes")


class TuningOptions(OpensTasksMixin, RoundOptions):
    kind = Run.Kind.FINETUNE
    configs = (FinetuneConfig, EarlyStoppingConfig, HardwareConfig)
    field_names = ("steps", "minutes", "kl_target", "kl_budget", "tasks")


class AutomationForm(forms.ModelForm):
    """When rounds start automatically, and the options of their runs: one page, saved together."""

    class Meta:
        model = Automation
        fields = ("is_on", "every")
        labels = {
            "is_on": "Start rounds automatically",
            "every": "New comparisons per round",
        }
        help_texts = {"every": "Counted since the last reward model. A few hundred are worth a round."}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        data = self.data if self.is_bound else None
        self.reward = RewardModelOptions(data, prefix="reward", initial=self.instance.train_reward)
        self.tuning = TuningOptions(data, prefix="tuning", initial=self.instance.finetune)

    def is_valid(self) -> bool:
        return all([super().is_valid(), self.reward.is_valid(), self.tuning.is_valid()])

    def save(self, commit: bool = True) -> Any:
        self.instance.train_reward = self.reward.changed()
        self.instance.finetune = self.tuning.changed()
        return super().save(commit)
