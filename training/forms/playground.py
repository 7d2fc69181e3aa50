"""The forms of the playground: a message to two models, and who takes part in live comparisons."""

from collections.abc import Sequence
from typing import Any

from django import forms

from labeling.models import Generator, Project
from training.live.participants import Participant

MAX_ANSWER_TOKENS = 8192


class PlaygroundForm(forms.Form):
    """Who answers, and how their answers are sampled."""

    first = forms.ChoiceField(label="First model")
    second = forms.ChoiceField(label="Second model")
    is_chat = forms.TypedChoiceField(
        label="Write",
        choices=[("yes", "a conversation"), ("no", "a text to continue")],
        coerce=lambda value: value == "yes",
        initial="yes",
    )
    system = forms.CharField(
        label="System message",
        required=False,
        max_length=20_000,
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto"}),
        help_text="For a new conversation; optional.",
    )
    temperature = forms.FloatField(
        label="Temperature", initial=1.0, min_value=0, max_value=5, help_text="0: always the likeliest token."
    )
    top_p = forms.FloatField(
        label="Top-p", initial=1.0, min_value=0.01, max_value=1, help_text="1: all tokens."
    )
    max_new_tokens = forms.IntegerField(
        label="Longest answer, tokens", initial=256, min_value=1, max_value=MAX_ANSWER_TOKENS
    )

    def __init__(
        self, data: Any = None, *, models: Sequence[Participant], initial: dict[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=initial)
        self.models = {str(each.generator.pk): each for each in models}
        choices = [(key, each.label) for key, each in self.models.items()]
        for name, place in (("first", 0), ("second", 1)):
            field = self.fields[name]
            assert isinstance(field, forms.ChoiceField)
            field.choices = choices
            if choices:
                field.initial = choices[min(place, len(choices) - 1)][0]
        for name in ("temperature", "top_p"):
            self.fields[name].widget.attrs["step"] = "any"

    @property
    def generators(self) -> list[Generator]:
        """The two models, of a valid form."""
        return [self.models[self.cleaned_data[name]].generator for name in ("first", "second")]

    @property
    def parameters(self) -> dict[str, Any]:
        """The sampling parameters, of a valid form."""
        return {name: self.cleaned_data[name] for name in ("temperature", "top_p", "max_new_tokens")}


class LiveSettingsForm(forms.Form):
    """Whether annotators may compare models live, and which ones."""

    live_comparisons = forms.BooleanField(label="Annotators may compare models live", required=False)
    live_max_tokens = forms.IntegerField(
        label="Longest answer, tokens", min_value=1, max_value=MAX_ANSWER_TOKENS
    )
    live_generators = forms.MultipleChoiceField(
        label="Models that take part, besides the version in production",
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, data: Any = None, *, project: Project, models: Sequence[Participant]) -> None:
        chosen = set(project.live_generators.values_list("pk", flat=True))
        known = {each.generator.pk for each in models}
        self.project, self.kept = project, chosen - known  # those that this person cannot see stay
        initial = {
            "live_comparisons": project.live_comparisons,
            "live_max_tokens": project.live_max_tokens,
            "live_generators": [str(key) for key in chosen & known],
        }
        super().__init__(data, initial=initial)
        field = self.fields["live_generators"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(str(each.generator.pk), each.label) for each in models]

    def save(self) -> None:
        """Store the settings of a valid form."""
        for name in ("live_comparisons", "live_max_tokens"):
            setattr(self.project, name, self.cleaned_data[name])
        self.project.save(update_fields=["live_comparisons", "live_max_tokens"])
        self.project.live_generators.set([*map(int, self.cleaned_data["live_generators"]), *self.kept])
